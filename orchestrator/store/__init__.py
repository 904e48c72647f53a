"""The only package with SQL. Rows stay inside; frozen snapshots leave.

database     transactions with retries, and the store's clock
transaction  one transaction: every query object, and the wake-ups that its commit causes
queries      the named queries
tables       the SQLModel tables, with constraints and indexes: the schema
plain        the same tables for queries: columns and types only
core         engine, column types, conditions, error classes
migrate      runs Alembic; `migrations` has the scripts
unreadable   rows that cannot be read
"""
