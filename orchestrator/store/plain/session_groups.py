"""Written by `python -m tests.tools.plain_tables`."""

from sqlalchemy import BigInteger, Column, Integer, String, Table

from orchestrator.store.core.columns import Money
from orchestrator.store.plain import metadata

TABLE = Table(
    "session_groups",
    metadata,
    Column("account_id", String, primary_key=True),
    Column("phase", String, primary_key=True),
    Column("price_per_node_hour", Money, primary_key=True, autoincrement=False),
    Column("nodes", Integer, primary_key=True, autoincrement=False),
    Column("block_seconds", Integer, primary_key=True, autoincrement=False),
    Column("sessions", BigInteger),
    Column("charged", Money),
    Column("since_seconds", BigInteger),
    Column("ran_seconds", BigInteger),
    Column("latest_second", BigInteger),
)
