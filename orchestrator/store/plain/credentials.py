"""Written by `python -m tests.tools.plain_tables`."""

from sqlalchemy import Boolean, Column, String, Table

from orchestrator.store.core.columns import UtcDateTime
from orchestrator.store.plain import metadata

TABLE = Table(
    "credentials",
    metadata,
    Column("id", String, primary_key=True),
    Column("provider", String),
    Column("ref", String),
    Column("exclusive", Boolean),
    Column("serialised", Boolean),
    Column("fingerprint", String),
    Column("retired", Boolean),
    Column("paused_since", UtcDateTime),
    Column("paused_reason", String),
    Column("resting_until", UtcDateTime),
    Column("cool_until", UtcDateTime),
    Column("checked_at", UtcDateTime),
    Column("last_used_at", UtcDateTime),
    Column("lease_token", String),
    Column("lease_until", UtcDateTime),
)
