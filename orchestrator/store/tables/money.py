"""Accounts, and the ledger; an account's balance is a cache of its ledger."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal

from sqlalchemy import DDL, CheckConstraint, Column, Index, event, text
from sqlmodel import Field

from orchestrator.rules.states import Step
from orchestrator.rules.values import Budget, BudgetPeriod
from orchestrator.store.core.columns import Budgets, Limits, enum, money, one_of, serial
from orchestrator.store.core.conditions import IS_OPENING, WRITTEN_OFF
from orchestrator.store.tables.base import Row

_OFF = text(WRITTEN_OFF)
_OPENS = text(IS_OPENING)
#: Entries are never changed; `archive_triggers` says how they leave. (dialect, statement).
APPEND_ONLY = (
    (
        "sqlite",
        "CREATE TRIGGER ledger_is_never_changed BEFORE UPDATE ON ledger"
        " BEGIN SELECT RAISE(ABORT, 'the ledger is append-only: post a new entry'); END",
    ),
    (
        "postgresql",
        "CREATE FUNCTION ledger_is_append_only() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'the ledger is append-only: post a new entry'; END $$",
    ),
    (
        "postgresql",
        "CREATE TRIGGER ledger_is_append_only BEFORE UPDATE OR TRUNCATE ON ledger"
        " FOR EACH STATEMENT EXECUTE FUNCTION ledger_is_append_only()",
    ),
)


class AccountRow(Row, table=True):
    """One account, which pays for its sessions."""

    __tablename__ = "accounts"
    __table_args__ = (
        one_of("next_step", Step),
        Index(
            "ix_accounts_due",
            "next_step",
            "next_step_at",
            postgresql_where=text("next_step IS NOT NULL"),
            sqlite_where=text("next_step IS NOT NULL"),
        ),
    )

    id: str = Field(primary_key=True)
    plan: str
    currency: str
    balance: Decimal = Field(sa_column=money())
    quota: Mapping[str, int | None] = Field(sa_column=Column(Limits(), nullable=True))
    overdraft_limit: Decimal | None = Field(default=None, sa_column=money(nullable=True))
    budgets: tuple[Budget, ...] = Field(default=(), sa_column=Column(Budgets(), nullable=True))
    charged_under: Decimal | None = Field(default=None, sa_column=money(nullable=True))
    funds_end_at: datetime | None = None
    funds_session_id: str | None = None
    funds_end_by: BudgetPeriod | None = Field(default=None, sa_column=enum(BudgetPeriod, nullable=True))
    warned_seconds: int | None = None
    next_charge_at: datetime | None = None
    charging_since: datetime | None = None
    charged_up_to: str | None = None
    last_admitted_at: datetime | None = None
    next_step: Step | None = Field(default=None, sa_column=enum(Step, nullable=True))
    next_step_at: datetime | None = None
    revision: int
    created_at: datetime


class LedgerRow(Row, table=True):
    """One amount from one book to another: double entry in a single row. Books: `account:ID`, `revenue`, `granted`,
    `written_off`.

    Rows are never changed. Retention alone removes the entries of old sessions, and leaves an opening entry with their
    sum."""

    __tablename__ = "ledger"
    __table_args__ = (
        CheckConstraint("amount >= 0", name="amount_not_negative"),
        CheckConstraint("debit <> credit", name="two_books"),
        Index("uq_ledger_key", "key", unique=True),
        Index("ix_ledger_account", "account_id", "id"),
        Index("ix_ledger_session", "session_id"),
        Index("ix_ledger_opening", "account_id", postgresql_where=_OPENS, sqlite_where=_OPENS),
        Index("ix_ledger_written_off", "at", postgresql_where=_OFF, sqlite_where=_OFF),
    )

    id: int | None = Field(default=None, sa_column=serial())
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


for _dialect, _statement in APPEND_ONLY:
    event.listen(LedgerRow.__table__, "after_create", DDL(_statement).execute_if(dialect=_dialect))  # type: ignore[attr-defined, no-untyped-call]
