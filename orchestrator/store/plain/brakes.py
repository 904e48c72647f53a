"""Written by `python -m tests.tools.plain_tables`."""

from sqlalchemy import Column, Integer, String, Table

from orchestrator.store.core.columns import UtcDateTime
from orchestrator.store.plain import metadata

TABLE = Table(
    "brakes",
    metadata,
    Column("scope", String, primary_key=True),
    Column("provider", String),
    Column("credential", String),
    Column("since", UtcDateTime),
    Column("until", UtcDateTime),
    Column("reason", String),
    Column("successes", Integer),
    Column("expired_at", UtcDateTime),
)
