"""Written by `python -m tests.tools.plain_tables`."""

from sqlalchemy import Boolean, Column, String, Table

from orchestrator.store.core.columns import UtcDateTime
from orchestrator.store.plain import metadata

TABLE = Table(
    "sightings",
    metadata,
    Column("provider", String, primary_key=True),
    Column("credential", String, primary_key=True),
    Column("handle", String, primary_key=True),
    Column("missing", Boolean),
    Column("since", UtcDateTime),
)
