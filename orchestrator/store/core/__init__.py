"""Databases without the domain: everything else in `store` builds on it.

engine         opens SQLite and PostgreSQL
lean_driver    describes results and checks connections with less work than psycopg and its pool
pooler         connects directly or through a pooler such as PgBouncer
columns        column types that are exact on both databases
conditions     wordings that indexes and queries have in common
rows           converts rows to snapshots and back
bulk           writes many rows in one statement
gathering      gathers the changes of locked rows, and writes them together
joined         writes rows of several tables in one statement
error_classes  what each database error means for the work that met it
remedies       what an operator can do about a database that cannot be used
stopwatch      monotonic time that includes the sleep of the machine
"""
