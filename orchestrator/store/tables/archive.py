"""Data that has left the live tables: sessions, their ledger entries, and sums of these."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import DDL, JSON, BigInteger, Column, Index, Table, event, text
from sqlmodel import Field, SQLModel

from orchestrator.rules.states import State
from orchestrator.store.core.columns import enum, money, one_of
from orchestrator.store.tables import archive_triggers
from orchestrator.store.tables.base import Row
from orchestrator.store.tables.money import LedgerRow

_NOT_DELETED = text("deleted_at IS NULL")


class ArchivedSessionRow(Row, table=True):
    """The fields of `rules.values.ArchivedSession`, one to one."""

    __tablename__ = "archived_sessions"
    __table_args__ = (
        one_of("state", State),
        Index(
            "ix_archived_sessions_account_name",
            "account_id",
            "name",
            postgresql_where=_NOT_DELETED,
            sqlite_where=_NOT_DELETED,
        ),
        Index(
            "ix_archived_sessions_account_ended",
            "account_id",
            "ended_at",
            postgresql_where=_NOT_DELETED,
            sqlite_where=_NOT_DELETED,
        ),
    )

    id: str = Field(primary_key=True)
    account_id: str
    name: str
    state: State = Field(sa_column=enum(State))
    provider: str | None = None
    stop_reason: str | None = None
    request_digest: str
    charged: Decimal = Field(sa_column=money())
    charges: int
    currency: str
    created_at: datetime
    ended_at: datetime
    archived_at: datetime
    deleted_at: datetime | None = None
    record: Mapping[str, Any] | None = Field(default=None, sa_column=Column(JSON(none_as_null=True)))
    digest: str | None = None


class ArchivedLedgerRow(Row, table=True):
    """An entry that has left the ledger, as it was. Append-only."""

    __tablename__ = "archived_ledger"
    __table_args__ = (
        Index("ix_archived_ledger_account", "account_id", "id"),
        Index("ix_archived_ledger_session", "session_id"),
    )

    id: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    key: str
    at: datetime
    account_id: str
    session_id: str | None = None
    kind: str
    debit: str
    credit: str
    amount: Decimal = Field(sa_column=money())
    currency: str
    note: str = ""


class ArchivedBookRow(Row, table=True):
    """The fields of `rules.retention.ArchivedBook`, one to one. The database itself updates it with every entry that
    leaves the ledger."""

    __tablename__ = "archived_books"

    account_id: str = Field(primary_key=True)
    book: str = Field(primary_key=True)
    amount: Decimal = Field(sa_column=money())
    entries: int = Field(sa_column=Column(BigInteger, nullable=False))
    kept_amount: Decimal = Field(sa_column=money())
    kept_entries: int = Field(sa_column=Column(BigInteger, nullable=False))


def _after_create(model: type[SQLModel], statements: tuple[tuple[str, str], ...]) -> None:
    table: Table = model.__table__  # type: ignore[attr-defined]
    for dialect, statement in statements:
        event.listen(table, "after_create", DDL(statement).execute_if(dialect=dialect))  # type: ignore[no-untyped-call]


_after_create(LedgerRow, archive_triggers.ON_LEDGER)
_after_create(ArchivedLedgerRow, archive_triggers.ON_ARCHIVED_LEDGER)
_after_create(ArchivedSessionRow, archive_triggers.ON_ARCHIVED_SESSIONS)
