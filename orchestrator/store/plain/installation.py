"""Written by `python -m tests.tools.plain_tables`."""

from sqlalchemy import Column, Integer, String, Table

from orchestrator.store.plain import metadata

TABLE = Table(
    "installation",
    metadata,
    Column("n", Integer, primary_key=True, autoincrement=False),
    Column("id", String),
)
