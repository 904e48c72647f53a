"""Written by `python -m tests.tools.plain_tables`."""

from sqlalchemy import BigInteger, Column, String, Table

from orchestrator.store.core.columns import Money
from orchestrator.store.plain import metadata

TABLE = Table(
    "archived_books",
    metadata,
    Column("account_id", String, primary_key=True),
    Column("book", String, primary_key=True),
    Column("amount", Money),
    Column("entries", BigInteger),
    Column("kept_amount", Money),
    Column("kept_entries", BigInteger),
)
