"""Written by `python -m tests.tools.plain_tables`."""

from sqlalchemy import JSON, Column, String, Table

from orchestrator.store.core.columns import UtcDateTime
from orchestrator.store.plain import metadata

TABLE = Table(
    "inbox",
    metadata,
    Column("task_id", String, primary_key=True),
    Column("name", String),
    Column("fingerprint", String),
    Column("received_at", UtcDateTime),
    Column("outcome", JSON(none_as_null=True)),
    Column("parts", JSON(none_as_null=True)),
    Column("author", String),
)
