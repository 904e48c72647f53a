"""Written by `python -m tests.tools.plain_tables`."""

from sqlalchemy import Column, String, Table

from orchestrator.rules.states import Step
from orchestrator.store.core.columns import EnumText, UtcDateTime
from orchestrator.store.plain import metadata

TABLE = Table(
    "next_steps",
    metadata,
    Column("session_id", String, primary_key=True),
    Column("provider", String),
    Column("step", EnumText(Step)),
    Column("at", UtcDateTime),
)
