"""Written by `python -m tests.tools.plain_tables`."""

from sqlalchemy import BigInteger, Column, String, Table

from orchestrator.store.core.columns import Money
from orchestrator.store.plain import metadata

TABLE = Table(
    "audit_balances",
    metadata,
    Column("account_id", String, primary_key=True),
    Column("ledger_id", BigInteger),
    Column("balance", Money),
)
