"""Written by `python -m tests.tools.plain_tables`."""

from sqlalchemy import BigInteger, Boolean, Column, String, Table

from orchestrator.store.core.columns import Money, UtcDateTime
from orchestrator.store.plain import metadata

TABLE = Table(
    "meters",
    metadata,
    Column("provider", String, primary_key=True),
    Column("pings", BigInteger),
    Column("tokens", BigInteger),
    Column("cost_usd", Money),
    Column("balance", Money),
    Column("balance_currency", String),
    Column("balance_at", UtcDateTime),
    Column("balance_is_low", Boolean),
)
