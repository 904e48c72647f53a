"""Written by `python -m tests.tools.plain_tables`."""

from sqlalchemy import Column, Float, Integer, String, Table

from orchestrator.store.core.columns import UtcDateTime
from orchestrator.store.plain import metadata

TABLE = Table(
    "workers",
    metadata,
    Column("id", String, primary_key=True),
    Column("kind", String),
    Column("host", String),
    Column("pid", Integer),
    Column("version", String),
    Column("started_at", UtcDateTime),
    Column("seen_at", UtcDateTime),
    Column("clock_offset_seconds", Float),
    Column("restarts", Integer),
    Column("last_wake_up_at", UtcDateTime),
    Column("last_claim_at", UtcDateTime),
    Column("last_sent_at", UtcDateTime),
    Column("last_fault", String),
)
