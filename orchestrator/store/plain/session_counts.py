"""Written by `python -m tests.tools.plain_tables`."""

from sqlalchemy import BigInteger, Column, String, Table

from orchestrator.store.plain import metadata

TABLE = Table(
    "session_counts",
    metadata,
    Column("account_id", String, primary_key=True),
    Column("state", String, primary_key=True),
    Column("provider", String, primary_key=True),
    Column("n", BigInteger),
)
