"""Written by `python -m tests.tools.plain_tables`."""

from sqlalchemy import BigInteger, Column, String, Table

from orchestrator.store.core.columns import Money, UtcDateTime
from orchestrator.store.plain import metadata

TABLE = Table(
    "ledger",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=True),
    Column("key", String),
    Column("at", UtcDateTime),
    Column("account_id", String),
    Column("session_id", String),
    Column("kind", String),
    Column("debit", String),
    Column("credit", String),
    Column("amount", Money),
    Column("currency", String),
    Column("note", String, default=""),
)
