"""Written by `python -m tests.tools.plain_tables`."""

from sqlalchemy import JSON, Column, Integer, String, Table

from orchestrator.rules.states import State
from orchestrator.store.core.columns import EnumText, Money, UtcDateTime
from orchestrator.store.plain import metadata

TABLE = Table(
    "archived_sessions",
    metadata,
    Column("id", String, primary_key=True),
    Column("account_id", String),
    Column("name", String),
    Column("state", EnumText(State)),
    Column("provider", String),
    Column("stop_reason", String),
    Column("request_digest", String),
    Column("charged", Money),
    Column("charges", Integer),
    Column("currency", String),
    Column("created_at", UtcDateTime),
    Column("ended_at", UtcDateTime),
    Column("archived_at", UtcDateTime),
    Column("deleted_at", UtcDateTime),
    Column("record", JSON(none_as_null=True)),
    Column("digest", String),
)
