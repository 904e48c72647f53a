"""Named queries over what sessions were charged by day, and over what runs now."""

from collections.abc import Iterator, Sequence
from dataclasses import fields
from datetime import date
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    String,
    and_,
    func,
    literal,
    select,
    tuple_,
    type_coerce,
)

from orchestrator.rules.billing.costs import BurningSum, CostsBy, RunningCost, SpentSum
from orchestrator.rules.billing.meters import Metered
from orchestrator.rules.states import StopReason
from orchestrator.store.core.columns import MICROS
from orchestrator.store.plain import table_of
from orchestrator.store.queries.living import RUNS, STARTS_OR_RUNS

_COSTS, _SESSIONS, _ACCOUNTS = table_of("daily_costs"), table_of("sessions"), table_of("accounts")
_METER = [field.name for field in fields(Metered)]
_KEYS = MappingProxyType(
    {
        CostsBy.ACCOUNT: _COSTS.c.account_id,
        CostsBy.MODEL: _COSTS.c.model_id,
        CostsBy.PROVIDER: _COSTS.c.provider,
        CostsBy.DAY: _COSTS.c.day,
    }
)
_BURNING_KEYS = MappingProxyType(
    {
        CostsBy.ACCOUNT: _SESSIONS.c.account_id,
        CostsBy.MODEL: _SESSIONS.c.model_id,
        CostsBy.PROVIDER: _SESSIONS.c.provider,
    }
)
#: Running sessions that one statement reads.
PAGE = 2_000


class Costs:
    """Queries of costs, inside one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def spent(
        self, by: CostsBy, since: date, until: date | None = None, account_id: str | None = None
    ) -> Sequence[SpentSum]:
        """Return what was spent from the day `since` on and before the day `until`, by key and currency. It reads a row
        for each account, model and provider of each day, however many sessions there were."""
        key = _KEYS[by]
        query = select(key, _COSTS.c.currency, func.sum(_COSTS.c.amount))
        found = query.where(_within(since, until, account_id)).group_by(key, _COSTS.c.currency)
        return [
            SpentSum(key=str(value), currency=currency, amount=Decimal(amount))
            for value, currency, amount in self._connection.execute(found)
        ]

    def of_account(self, account_id: str, since: date) -> Decimal:
        """Return what an account was charged from this day on."""
        mine = _within(since, None, account_id)
        amount = self._connection.execute(select(func.sum(_COSTS.c.amount)).where(mine)).scalar()
        return Decimal(0) if amount is None else Decimal(amount)

    def running(self, account_id: str | None = None) -> Iterator[RunningCost]:
        """Yield each running session, page by page in the order of accounts and ids."""
        behind: tuple[str, str] | None = None
        while True:
            rows = self._connection.execute(_running(account_id, behind)).all()
            yield from (_running_cost(row) for row in rows)
            if len(rows) < PAGE:
                return
            behind = rows[-1].account_id, rows[-1].id

    def burning(self, by: CostsBy, account_id: str | None = None) -> Sequence[BurningSum]:
        """Return what running sessions cost an hour, by key and currency."""
        key = literal(None, String()) if by is CostsBy.DAY else _BURNING_KEYS[by]
        per_hour = func.sum(type_coerce(_SESSIONS.c.price_per_node_hour, BigInteger) * _SESSIONS.c.nodes)
        query = select(key, _SESSIONS.c.currency, per_hour).where(*_mine(account_id))
        return [
            BurningSum(
                key=value if by is CostsBy.DAY else value or "", currency=currency, per_hour=micros / MICROS
            )
            for value, currency, micros in self._connection.execute(query.group_by(key, _SESSIONS.c.currency))
        ]

    def running_count(self, most: int, account_id: str | None = None) -> int:
        """Return how many sessions run, up to `most`."""
        some = select(_SESSIONS.c.id).where(*_mine(account_id)).limit(most).subquery()
        return self._connection.execute(select(func.count()).select_from(some)).scalar_one()

    def entries(self, since: date, until: date, account_id: str | None = None) -> tuple[int, int] | None:
        """Return ids between which all entries of sessions of these days lie; None if there are none."""
        query = select(func.min(_COSTS.c.first_entry), func.max(_COSTS.c.last_entry))
        first, last = self._connection.execute(query.where(_within(since, until, account_id))).one()
        return None if first is None or last is None else (first, last)


def _within(since: date, until: date | None, account_id: str | None) -> ColumnElement[bool]:
    conditions = [_COSTS.c.day >= since]
    if until is not None:
        conditions.append(_COSTS.c.day < until)
    if account_id is not None:
        conditions.append(_COSTS.c.account_id == account_id)
    return and_(*conditions)


def _running(account_id: str | None, behind: tuple[str, str] | None) -> Any:
    at = tuple_(_SESSIONS.c.account_id, _SESSIONS.c.id)
    page = (
        select(_SESSIONS)
        .where(*_mine(account_id), *([] if behind is None else [at > behind]))
        .order_by(_SESSIONS.c.account_id, _SESSIONS.c.id)
        .limit(PAGE)
        .subquery()
    )
    columns = [page.c[name] for name in (*_METER, "account_id", "model_id", "provider", "currency")]
    stops = (page.c.stop_at, page.c.idle_ends_at, page.c.stop_at_reason)
    ends = and_(_ACCOUNTS.c.id == page.c.account_id, _ACCOUNTS.c.funds_session_id == page.c.id)
    joined = select(*columns, *stops, _ACCOUNTS.c.funds_end_at).outerjoin_from(page, _ACCOUNTS, ends)
    return joined.order_by(page.c.account_id, page.c.id)


def _mine(account_id: str | None) -> list[Any]:
    mine = [] if account_id is None else [_SESSIONS.c.account_id == account_id]
    return [*mine, STARTS_OR_RUNS, RUNS]


def _running_cost(row: Any) -> RunningCost:
    idles = row.stop_at_reason is StopReason.IDLE and row.idle_ends_at is not None
    ends = [at for at in (row.idle_ends_at if idles else row.stop_at, row.funds_end_at) if at is not None]
    return RunningCost(
        account_id=row.account_id,
        model_id=row.model_id,
        provider=row.provider or "",
        currency=row.currency,
        meter=Metered(**{name: row._mapping[name] for name in _METER}),  # noqa: SLF001
        ends_at=min(ends, default=None),
    )
