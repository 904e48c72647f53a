"""Written by `python -m tests.tools.plain_tables`."""

from sqlalchemy import BigInteger, Column, Date, String, Table

from orchestrator.store.core.columns import Money
from orchestrator.store.plain import metadata

TABLE = Table(
    "daily_costs",
    metadata,
    Column("account_id", String, primary_key=True),
    Column("day", Date, primary_key=True),
    Column("model_id", String, primary_key=True),
    Column("provider", String, primary_key=True),
    Column("currency", String, primary_key=True),
    Column("amount", Money),
    Column("entries", BigInteger),
    Column("first_entry", BigInteger),
    Column("last_entry", BigInteger),
)
