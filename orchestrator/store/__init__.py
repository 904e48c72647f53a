"""The only package with SQL. Rows stay inside; frozen snapshots leave.

database     transactions with retries, and the store's clock
transaction  one transaction: every query object, and the wake-ups that its commit causes
queries      the named queries
tables       the SQLModel tables, with constraints and indexes
core         engine, column types, error classes: nothing of the domain
migrate      runs Alembic; `migrations` has the scripts
unreadable   rows that cannot be read
"""
