"""Written by `python -m tests.tools.plain_tables`."""

from sqlalchemy import Column, Integer, String, Table

from orchestrator.store.core.columns import UtcDateTime
from orchestrator.store.plain import metadata

TABLE = Table(
    "parked_messages",
    metadata,
    Column("id", String, primary_key=True),
    Column("parked_at", UtcDateTime),
    Column("queue", String),
    Column("reason", String),
    Column("task", String),
    Column("task_id", String),
    Column("size", Integer),
    Column("head", String),
    Column("kept_as", String),
)
