"""Named queries over what is counted at each provider: meters, with what its pings cost and its own balance, and what
happened minute by minute."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, delete, func, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from orchestrator.rules.billing.groups import Phase
from orchestrator.rules.states import PlacementState
from orchestrator.rules.values import Meter
from orchestrator.rules.values.minutes import INSTALLATION, Minute, MinuteSample, PingCounts
from orchestrator.store.core.rows import columns_of, snapshot, values_of
from orchestrator.store.plain import table_of

METERS = table_of("meters")


class Meters:
    """Queries and changes of meters, inside one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def count(self, provider: str, *, pings: int, tokens: int, cost_usd: Decimal) -> None:
        """Add the cost of a batch of pings."""
        added = {
            "pings": METERS.c.pings + pings,
            "tokens": METERS.c.tokens + tokens,
            "cost_usd": METERS.c.cost_usd + cost_usd,
        }
        counted = update(METERS).where(METERS.c.provider == provider).values(**added)
        if not self._connection.execute(counted).rowcount:
            self._make(provider)
            self._connection.execute(counted)

    def note_balance(
        self, provider: str, amount: Decimal, currency: str, now: datetime, *, is_low: bool
    ) -> bool:
        """Save the balance that the provider reports. Return whether it was low before."""
        self._make(provider)
        row = self._connection.execute(
            select(METERS.c.balance_is_low).where(METERS.c.provider == provider).with_for_update()
        ).one()
        values = {
            "balance": amount,
            "balance_currency": currency,
            "balance_at": now,
            "balance_is_low": is_low,
        }
        self._connection.execute(update(METERS).where(METERS.c.provider == provider).values(**values))
        return bool(row.balance_is_low)

    def listed(self) -> Sequence[Meter]:
        """Return all meters, by provider."""
        query = select(METERS).order_by(METERS.c.provider)
        return [snapshot(Meter, row) for row in self._connection.execute(query)]

    def _make(self, provider: str) -> None:
        dialect = postgresql if self._connection.dialect.name == "postgresql" else sqlite
        statement = dialect.insert(METERS).values(**values_of(Meter(provider=provider)))
        self._connection.execute(statement.on_conflict_do_nothing(index_elements=["provider"]))


MINUTES = table_of("minutes")
_PLACEMENTS, _SESSIONS = table_of("placements"), table_of("sessions")
_GROUPS, _ACCOUNTS = table_of("session_groups"), table_of("accounts")
_KEY = ("minute", "provider")
#: Closes of one minute and provider that are counted at most.
_MOST = 20_000


class Minutes:
    """Queries and changes of minutes, inside one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def count(self, provider: str, minute: datetime, counts: PingCounts) -> None:
        """Add these counts to the minute's."""
        values = asdict(counts)
        statement = self._insert().values(minute=minute, provider=provider, **values)
        added = {name: self._sum(name, statement.excluded[name]) for name in values}
        self._connection.execute(statement.on_conflict_do_update(index_elements=_KEY, set_=added))

    def is_sampled(self, minute: datetime) -> bool:
        """Return whether the minute has its samples."""
        query = select(MINUTES.c.sampled_at).where(
            MINUTES.c.minute == minute, MINUTES.c.provider == INSTALLATION
        )
        return self._connection.execute(query).scalar() is not None

    def sample(self, minute: datetime, samples: Mapping[str, MinuteSample]) -> None:
        """Save the samples of a minute, by provider; the first that come are kept."""
        counts = asdict(PingCounts())
        rows = [
            {"minute": minute, "provider": provider, **counts, **asdict(samples[provider])}
            for provider in sorted(samples)
        ]
        statement = self._insert().values(rows)
        sampled = {name: statement.excluded[name] for name in columns_of(MinuteSample)}
        self._connection.execute(
            statement.on_conflict_do_update(
                index_elements=_KEY, set_=sampled, where=MINUTES.c.sampled_at.is_(None)
            )
        )

    def since(self, first: datetime, last: datetime, provider: str | None = None) -> Sequence[Minute]:
        """Return the minutes from the first to the last, oldest first: of one provider, or of all and of the
        installation."""
        query = select(MINUTES).where(MINUTES.c.minute >= first, MINUTES.c.minute <= last)
        if provider is not None:
            query = query.where(MINUTES.c.provider == provider)
        rows = self._connection.execute(query.order_by(MINUTES.c.minute, MINUTES.c.provider))
        return [
            Minute(
                minute=row.minute,
                provider=row.provider,
                counts=snapshot(PingCounts, row),
                sample=None if row.sampled_at is None else snapshot(MinuteSample, row),
            )
            for row in rows
        ]

    def forget(self, before: datetime, after: datetime) -> None:
        """Delete the minutes before and after these. Later ones are there once a clock that was ahead is right again:
        they would be counted twice."""
        old = or_(MINUTES.c.minute < before, MINUTES.c.minute > after)
        self._connection.execute(delete(MINUTES).where(old))

    def opens(self, provider: str, first: datetime, until: datetime) -> tuple[int, int]:
        """Return how many placements were opened at the provider in this time, and how many opens ended without
        one."""
        at = _PLACEMENTS.c.opened_at
        opened = select(func.count()).where(
            _PLACEMENTS.c.provider == provider, at.is_not(None), at >= first, at < until
        )
        failed = select(func.count()).where(
            *_ended(provider, first, until), _PLACEMENTS.c.state == PlacementState.NEVER_OPENED
        )
        return self._connection.execute(opened).scalar_one(), self._connection.execute(failed).scalar_one()

    def close_lags(self, provider: str, first: datetime, until: datetime) -> Sequence[timedelta]:
        """Return how long each close took that was proven at the provider in this time: from the stop's instant, or
        from when the placement was no longer needed."""
        query = (
            select(_PLACEMENTS.c.ended_at, _PLACEMENTS.c.closing_since, _SESSIONS.c.stopped_at)
            .outerjoin(_SESSIONS, _SESSIONS.c.id == _PLACEMENTS.c.session_id)
            .where(
                *_ended(provider, first, until),
                _PLACEMENTS.c.state == PlacementState.CLOSED,
                _PLACEMENTS.c.forced_at.is_(None),
            )
            .limit(_MOST)
        )
        return [
            row.ended_at - min(one for one in (row.ended_at, row.closing_since, row.stopped_at) if one)
            for row in self._connection.execute(query)
        ]

    def burning(self) -> Mapping[str, Decimal]:
        """Return what running sessions cost an hour, by currency, from the sums that the database keeps."""
        price, nodes = _GROUPS.c.price_per_node_hour, _GROUPS.c.nodes
        query = (
            select(_ACCOUNTS.c.currency, price, nodes, func.sum(_GROUPS.c.sessions).label("n"))
            .join(_ACCOUNTS, _ACCOUNTS.c.id == _GROUPS.c.account_id)
            .where(_GROUPS.c.phase == Phase.RUNNING.value)
            .group_by(_ACCOUNTS.c.currency, price, nodes)
        )
        sums: dict[str, Decimal] = {}
        for row in self._connection.execute(query):
            sums[row.currency] = sums.get(
                row.currency, Decimal(0)
            ) + row.price_per_node_hour * row.nodes * int(row.n)
        return sums

    def _insert(self) -> Any:
        dialect = postgresql if self._connection.dialect.name == "postgresql" else sqlite
        return dialect.insert(MINUTES)

    def _sum(self, name: str, added: Any) -> Any:
        if "_most_" not in name:
            return MINUTES.c[name] + added
        greatest = func.greatest if self._connection.dialect.name == "postgresql" else func.max
        return greatest(MINUTES.c[name], added)


def _ended(provider: str, first: datetime, until: datetime) -> tuple[Any, ...]:
    at = _PLACEMENTS.c.ended_at
    return _PLACEMENTS.c.provider == provider, at.is_not(None), at >= first, at < until
