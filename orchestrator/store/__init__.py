"""The only place that speaks SQL. Rows stay inside; frozen snapshots leave.

database      engine, transactions with retries, the one clock
tables/       SQLModel tables, one file per family, with constraints and due-indexes
columns       column types that are exact on SQLite and PostgreSQL
rows          rows to snapshots and back
unit          one transaction: every family of queries, the wake-ups it causes
brakes, meters, sessions, placements, accounts, credentials, refused_keys, models, ledger, inbox, outbox, leases
              the named queries, each with its promise
migrate       Alembic, from inside
"""
