"""Written by `python -m tests.tools.plain_tables`."""

from sqlalchemy import JSON, BigInteger, Column, Integer, String, Table

from orchestrator.store.core.columns import UtcDateTime
from orchestrator.store.plain import metadata

TABLE = Table(
    "webhook_deliveries",
    metadata,
    Column("webhook", String, primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("event_id", String),
    Column("type", String),
    Column("subject", String),
    Column("time", UtcDateTime),
    Column("data", JSON),
    Column("since", UtcDateTime),
    Column("tries", Integer),
    Column("next_at", UtcDateTime),
    Column("last_answer", String),
    Column("dead_at", UtcDateTime),
)
