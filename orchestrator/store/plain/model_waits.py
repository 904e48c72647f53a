"""Written by `python -m tests.tools.plain_tables`."""

from sqlalchemy import Column, String, Table

from orchestrator.store.core.columns import UtcDateTime
from orchestrator.store.plain import metadata

TABLE = Table(
    "model_waits",
    metadata,
    Column("provider", String, primary_key=True),
    Column("credential", String, primary_key=True),
    Column("model_id", String, primary_key=True),
    Column("until", UtcDateTime),
)
