"""What accounts were charged by day, model and provider. The database itself adds every charge to it, under whichever
release runs; entries that leave the ledger for the archive stay counted."""

from datetime import date
from decimal import Decimal

from sqlalchemy import DDL, BigInteger, Column, Index, event
from sqlmodel import Field

from orchestrator.store.core.columns import money
from orchestrator.store.core.conditions import OF_SESSIONS
from orchestrator.store.tables.base import Row
from orchestrator.store.tables.money import LedgerRow

_KEY = "account_id, day, model_id, provider, currency"
_TARGET = f"INSERT INTO daily_costs ({_KEY}, amount, entries, first_entry, last_entry)"


def _day(row: str, dialect: str) -> str:
    return f"substr({row}.at, 1, 10)" if dialect == "sqlite" else f"({row}.at AT TIME ZONE 'UTC')::date"


def _values(row: str, dialect: str) -> str:
    """Return the values of one entry. The newest placement is the one that it pays for: a charge comes before the next
    placement."""
    model = f"(SELECT model_id FROM sessions WHERE id = {row}.session_id)"  # noqa: S608
    provider = (
        f"(SELECT provider FROM placements WHERE session_id = {row}.session_id ORDER BY n DESC LIMIT 1)"  # noqa: S608
    )
    amount = f"CASE {row}.kind WHEN 'charge' THEN {row}.amount ELSE -{row}.amount END"
    return (
        f"{row}.account_id AS account_id, {_day(row, dialect)} AS day, coalesce({model}, '') AS model_id,"
        f" coalesce({provider}, '') AS provider, {row}.currency AS currency, {amount} AS amount, {row}.id AS id"
    )


def _add(dialect: str) -> str:
    least, most = ("min", "max") if dialect == "sqlite" else ("least", "greatest")
    return (
        f"ON CONFLICT ({_KEY}) DO UPDATE SET amount = daily_costs.amount + excluded.amount,"
        " entries = daily_costs.entries + excluded.entries,"
        f" first_entry = {least}(daily_costs.first_entry, excluded.first_entry),"
        f" last_entry = {most}(daily_costs.last_entry, excluded.last_entry)"
    )


def _summed(values: str, rows: str, dialect: str) -> str:
    each = f"SELECT {values} {rows}"
    sums = "sum(amount), count(*), min(id), max(id)"
    return f"{_TARGET} SELECT {_KEY}, {sums} FROM ({each}) AS entry GROUP BY {_KEY} ORDER BY {_KEY} {_add(dialect)};"  # noqa: S608


_TOUCHED = f"FROM touched WHERE touched.kind IN {OF_SESSIONS}"
#: (dialect, statement). Where SQLite rebuilds the table `ledger` (batch mode), its trigger must be made again too.
ADDING = (
    (
        "sqlite",
        f"CREATE TRIGGER ledger_adds_to_costs AFTER INSERT ON ledger WHEN NEW.kind IN {OF_SESSIONS} BEGIN"
        f" {_summed(_values('NEW', 'sqlite'), 'WHERE true', 'sqlite')} END",
    ),
    (
        "postgresql",
        "CREATE FUNCTION add_to_costs() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        f" {_summed(_values('touched', 'postgresql'), _TOUCHED, 'postgresql')}"
        " RETURN NULL; END $$",
    ),
    (
        "postgresql",
        "CREATE TRIGGER ledger_adds_to_costs AFTER INSERT ON ledger REFERENCING NEW TABLE AS touched"
        " FOR EACH STATEMENT EXECUTE FUNCTION add_to_costs()",
    ),
)


class DailyCostRow(Row, table=True):
    """What sessions of one account and model at one provider were charged in the entries of one day in UTC: charges
    less what was given back or written off."""

    __tablename__ = "daily_costs"
    __table_args__ = (Index("ix_daily_costs_day", "day"),)

    account_id: str = Field(primary_key=True)
    day: date = Field(primary_key=True)
    model_id: str = Field(primary_key=True)
    provider: str = Field(primary_key=True)
    currency: str = Field(primary_key=True)
    amount: Decimal = Field(sa_column=money())
    entries: int = Field(sa_column=Column(BigInteger, nullable=False))
    first_entry: int = Field(sa_column=Column(BigInteger, nullable=False))
    """No entry among these has a lower id in the ledger."""
    last_entry: int = Field(sa_column=Column(BigInteger, nullable=False))


for _dialect, _statement in ADDING:
    event.listen(LedgerRow.__table__, "after_create", DDL(_statement).execute_if(dialect=_dialect))  # type: ignore[attr-defined, no-untyped-call]
