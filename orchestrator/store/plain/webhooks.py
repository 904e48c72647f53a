"""Written by `python -m tests.tools.plain_tables`."""

from sqlalchemy import BigInteger, Boolean, Column, Integer, String, Table

from orchestrator.store.core.columns import StringTuple, UtcDateTime
from orchestrator.store.plain import metadata

TABLE = Table(
    "webhooks",
    metadata,
    Column("name", String, primary_key=True),
    Column("url", String),
    Column("secret_refs", StringTuple),
    Column("event_types", StringTuple),
    Column("account_ids", StringTuple),
    Column("active", Boolean),
    Column("from_file", Boolean),
    Column("place", BigInteger),
    Column("gap_until", BigInteger),
    Column("failures", Integer),
    Column("next_at", UtcDateTime),
    Column("lease_token", String),
    Column("lease_until", UtcDateTime),
    Column("last_answer", String),
    Column("last_sent_at", UtcDateTime),
    Column("created_at", UtcDateTime),
)
