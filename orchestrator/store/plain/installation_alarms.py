"""Written by `python -m tests.tools.plain_tables`."""

from sqlalchemy import Column, Integer, String, Table

from orchestrator.store.core.columns import UtcDateTime
from orchestrator.store.plain import metadata

TABLE = Table(
    "installation_alarms",
    metadata,
    Column("kind", String, primary_key=True),
    Column("about", String, primary_key=True),
    Column("since", UtcDateTime),
    Column("seen_at", UtcDateTime),
    Column("reason", String),
    Column("times_seen", Integer),
)
