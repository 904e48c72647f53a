"""Written by `python -m tests.tools.plain_tables`."""

from sqlalchemy import JSON, BigInteger, Column, String, Table

from orchestrator.store.core.columns import UtcDateTime
from orchestrator.store.plain import metadata

TABLE = Table(
    "outbox",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=True),
    Column("id", String),
    Column("type", String),
    Column("subject", String),
    Column("time", UtcDateTime),
    Column("data", JSON),
    Column("delivered_at", UtcDateTime),
)
