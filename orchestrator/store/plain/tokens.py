"""Written by `python -m tests.tools.plain_tables`."""

from sqlalchemy import Column, String, Table

from orchestrator.store.core.columns import StringTuple, UtcDateTime
from orchestrator.store.plain import metadata

TABLE = Table(
    "tokens",
    metadata,
    Column("id", String, primary_key=True),
    Column("name", String),
    Column("digest", String),
    Column("scopes", StringTuple),
    Column("account_id", String),
    Column("created_at", UtcDateTime),
    Column("expires_at", UtcDateTime),
    Column("revoked_at", UtcDateTime),
    Column("last_used_at", UtcDateTime),
)
