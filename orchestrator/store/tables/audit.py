"""What the audit keeps between its runs: its progress, its sums, and its findings."""

from datetime import datetime
from decimal import Decimal

from sqlalchemy import BigInteger, Column
from sqlmodel import Field

from orchestrator.store.core.columns import money
from orchestrator.store.tables.base import Row


class AuditFindingRow(Row, table=True):
    """One open violation."""

    __tablename__ = "audit_findings"

    name: str = Field(primary_key=True)
    """The name of the check."""
    subject: str = Field(primary_key=True)
    detail: str
    since: datetime
    """When it was first seen."""


class AuditCursorRow(Row, table=True):
    """How far one feed of the audit has been read."""

    __tablename__ = "audit_cursors"

    name: str = Field(primary_key=True)
    position: str
    at: datetime


class AuditBalanceRow(Row, table=True):
    """The sum of an account's ledger, up to and including one entry, so that the next run adds only newer entries."""

    __tablename__ = "audit_balances"

    account_id: str = Field(primary_key=True)
    ledger_id: int = Field(sa_column=Column(BigInteger, nullable=False))
    balance: Decimal = Field(sa_column=money())
