"""Written by `python -m tests.tools.plain_tables`."""

from sqlalchemy import Column, String, Table

from orchestrator.store.core.columns import UtcDateTime
from orchestrator.store.plain import metadata

TABLE = Table(
    "audit_cursors",
    metadata,
    Column("name", String, primary_key=True),
    Column("position", String),
    Column("at", UtcDateTime),
)
