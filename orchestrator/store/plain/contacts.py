"""Written by `python -m tests.tools.plain_tables`."""

from sqlalchemy import Column, String, Table

from orchestrator.store.core.columns import UtcDateTime
from orchestrator.store.plain import metadata

TABLE = Table(
    "contacts",
    metadata,
    Column("host", String, primary_key=True),
    Column("provider", String, primary_key=True),
    Column("reached_at", UtcDateTime),
    Column("failing_since", UtcDateTime),
    Column("failed_at", UtcDateTime),
)
