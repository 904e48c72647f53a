"""Written by `python -m tests.tools.plain_tables`."""

from sqlalchemy import Column, Integer, String, Table

from orchestrator.rules.upstream.alarms import AlarmKind
from orchestrator.store.core.columns import EnumText, UtcDateTime
from orchestrator.store.plain import metadata

TABLE = Table(
    "alarms",
    metadata,
    Column("scope", String, primary_key=True),
    Column("kind", EnumText(AlarmKind)),
    Column("provider", String),
    Column("credential", String),
    Column("model_id", String),
    Column("since", UtcDateTime),
    Column("seen_at", UtcDateTime),
    Column("reason", String),
    Column("refusals", Integer),
    Column("retry_at", UtcDateTime),
)
