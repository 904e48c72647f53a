"""Named queries of the audit over costs by day, beside the entries of the ledger and its archive that they add up."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Date,
    Table,
    and_,
    case,
    cast,
    exists,
    func,
    select,
    tuple_,
    union_all,
)

from orchestrator.rules.audit.check_costs import ChargedSum, CostDay, CostDayFacts
from orchestrator.store.plain import table_of
from orchestrator.store.queries.archive import ARCHIVED, ARCHIVED_LEDGER, BOOKS
from orchestrator.store.queries.audit import LEDGER, PLACEMENTS, SESSIONS

_COSTS = table_of("daily_costs")
#: Entries that say what a session has cost.
_KINDS = ("charge", "reversal", "write_off")
#: No entry has a higher id.
_HIGHEST = 2**63 - 1


class CostAudit:
    """Queries of the audit, inside one transaction that only reads."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    # which days

    def days_after(self, place: CostDay, limit: int, most_entries: int) -> Sequence[CostDay]:
        """Return the next days that have costs, account by account: as many as have this many entries together. A day
        that alone has more is left out."""
        key = (_COSTS.c.account_id, _COSTS.c.day)
        query = select(*key, func.sum(_COSTS.c.entries)).where(tuple_(*key) > (place.account_id, place.day))
        few = query.group_by(*key).having(func.sum(_COSTS.c.entries) <= most_entries)
        rows = self._connection.execute(few.order_by(*key).limit(limit))
        return list(_bounded(rows, most_entries))

    def closed_days_after(
        self, place: CostDay, today: date, limit: int, most_entries: int
    ) -> Sequence[CostDay]:
        """Return the next days before today that have costs, day by day: one, and more while they have so few entries
        together."""
        key = (_COSTS.c.day, _COSTS.c.account_id)
        query = select(*reversed(key), func.sum(_COSTS.c.entries)).where(
            _COSTS.c.day < today, _COSTS.c.day >= place.day, tuple_(*key) > (place.day, place.account_id)
        )
        rows = self._connection.execute(query.group_by(*key).order_by(*key).limit(limit))
        return list(_bounded(rows, most_entries))

    def uncounted(self, after: int, until: int, limit: int) -> Collection[CostDay]:
        """Return days with entries of sessions, by their ids in the ledger, that no cost of their day reaches to."""
        return self._uncounted(LEDGER, LEDGER.c.id > after, LEDGER.c.id <= until, limit=limit)

    def uncounted_of(self, account_ids: Collection[str], limit: int) -> Collection[CostDay]:
        """Return such days of these accounts. Reads all their entries, archived ones too."""
        return {
            day
            for table in (LEDGER, ARCHIVED_LEDGER)
            for day in self._uncounted(table, table.c.account_id.in_(account_ids), limit=limit)
        }

    def days_of(self, account_ids: Collection[str]) -> Sequence[CostDay]:
        """Return every day of these accounts that has costs."""
        query = select(_COSTS.c.account_id, _COSTS.c.day).where(_COSTS.c.account_id.in_(account_ids))
        return [CostDay(account_id, day) for account_id, day in self._connection.execute(query.distinct())]

    # with their entries

    def facts(self, day: CostDay, *, around: bool) -> CostDayFacts | None:
        """Return what was counted of a day, and the entries of its ids; `around`: also those that lie before and behind
        these. None if some were deleted with their sessions."""
        if self._deleted_until(day.account_id) >= day.day:
            return None
        mine = and_(_COSTS.c.account_id == day.account_id, _COSTS.c.day == day.day)
        rows = self._connection.execute(select(_COSTS).where(mine)).all()
        counted, (first, last) = [_sum(row) for row in rows], _reach(rows)
        if around:
            before, behind = self._beside(day)
            first, last = min(first, before), max(last, behind)
        return CostDayFacts(of=day, counted=counted, posted=self._posted(day, first, last))

    def _deleted_until(self, account_id: str) -> date:
        """Return the day of the newest entry that left an account's ledger, if entries were deleted for good."""
        lost = and_(BOOKS.c.account_id == account_id, BOOKS.c.entries > BOOKS.c.kept_entries)
        if self._connection.execute(select(BOOKS.c.book).where(lost).limit(1)).first() is None:
            return date.min
        opens = and_(LEDGER.c.account_id == account_id, LEDGER.c.kind == "opening")
        at: datetime | None = self._connection.execute(select(func.max(LEDGER.c.at)).where(opens)).scalar()
        return date.max if at is None else at.astimezone(UTC).date()

    def _beside(self, day: CostDay) -> tuple[int, int]:
        """Return the last entry of the day before and the first of the day behind, of those that have costs."""
        mine = _COSTS.c.account_id == day.account_id
        earlier, later = and_(mine, _COSTS.c.day < day.day), and_(mine, _COSTS.c.day > day.day)
        before = select(func.max(_COSTS.c.day)).where(earlier).scalar_subquery()
        behind = select(func.min(_COSTS.c.day)).where(later).scalar_subquery()
        last = select(func.max(_COSTS.c.last_entry)).where(mine, _COSTS.c.day == before)
        first = select(func.min(_COSTS.c.first_entry)).where(mine, _COSTS.c.day == behind)
        return (
            self._connection.execute(last).scalar() or 0,
            self._connection.execute(first).scalar() or _HIGHEST,
        )

    def _posted(self, day: CostDay, first: int, last: int) -> Sequence[ChargedSum]:
        """Add up the entries of a day, live and archived ones in one statement."""
        live, archived = _entries(LEDGER, day, first, last), _entries(ARCHIVED_LEDGER, day, first, last)
        both = union_all(
            select(live, SESSIONS.c.model_id, _provider()).select_from(
                live.outerjoin(SESSIONS, SESSIONS.c.id == live.c.session_id)
            ),
            select(
                archived, ARCHIVED.c.record["session"]["model_id"].as_string(), _archived_provider()
            ).select_from(archived.outerjoin(ARCHIVED, ARCHIVED.c.id == archived.c.session_id)),
        ).subquery()
        _, _, _, currency, model, provider = both.c
        key = (currency, model, provider)
        query = select(*key, func.sum(both.c.amount), func.sum(both.c.entries)).group_by(*key)
        return [
            ChargedSum(currency=c, model_id=m, provider=p, amount=Decimal(amount), entries=int(entries))
            for c, m, p, amount, entries in self._connection.execute(query)
        ]

    def _uncounted(self, table: Table, *which: ColumnElement[bool], limit: int) -> Collection[CostDay]:
        entry = table.c
        day = _day(entry.at, self._connection)
        reached = exists().where(
            _COSTS.c.account_id == entry.account_id,
            _COSTS.c.day == day,
            _COSTS.c.currency == entry.currency,
            _COSTS.c.first_entry <= entry.id,
            _COSTS.c.last_entry >= entry.id,
        )
        query = select(entry.account_id, entry.at).where(*which, entry.kind.in_(_KINDS), ~reached)
        return {
            CostDay(account_id, at.astimezone(UTC).date())
            for account_id, at in self._connection.execute(query.limit(limit))
        }


def _reach(rows: Sequence[Any]) -> tuple[int, int]:
    """Return the first and the last entry of these; of none, a range that holds none."""
    first = min((row.first_entry for row in rows), default=_HIGHEST)
    return first, max((row.last_entry for row in rows), default=0)


def _bounded(rows: Iterable[Any], most_entries: int) -> Iterator[CostDay]:
    read = 0
    for account_id, day, entries in rows:
        read += int(entries)
        if read > most_entries and read > int(entries):
            return
        yield CostDay(account_id, day)


def _entries(table: Table, day: CostDay, first: int, last: int) -> Any:
    """Select the sums of a day's entries by session."""
    since = datetime.combine(day.day, time(), UTC)
    entry = table.c
    amount = func.sum(case((entry.kind == "charge", entry.amount), else_=-entry.amount)).label("amount")
    query = select(entry.session_id, amount, func.count().label("entries"), entry.currency).where(
        entry.account_id == day.account_id,
        entry.id.between(first, last),
        entry.kind.in_(_KINDS),
        entry.at >= since,
        entry.at < since + timedelta(days=1),
    )
    return query.group_by(entry.session_id, entry.currency).subquery()


def _provider() -> ColumnElement[Any]:
    """Return the one provider that a session ever had; null if it had several: an entry does not say which."""
    mine = PLACEMENTS.c.session_id == SESSIONS.c.id
    least = select(func.min(PLACEMENTS.c.provider)).where(mine).correlate(SESSIONS).scalar_subquery()
    most = select(func.max(PLACEMENTS.c.provider)).where(mine).correlate(SESSIONS).scalar_subquery()
    last = func.coalesce(SESSIONS.c.provider, "")
    return case((and_(least == last, most == last), last), else_=None)


def _archived_provider() -> ColumnElement[Any]:
    placements = func.json_array_length(ARCHIVED.c.record["placements"])
    return case((placements == 1, func.coalesce(ARCHIVED.c.provider, "")), else_=None)


def _day(at: ColumnElement[Any], connection: Connection) -> ColumnElement[Any]:
    """Return the day in UTC of an instant, as the database's own sums have it."""
    if connection.dialect.name == "sqlite":
        return func.substr(at, 1, 10)
    return cast(func.timezone("UTC", at), Date)


def _sum(row: Any) -> ChargedSum:
    return ChargedSum(
        currency=row.currency,
        model_id=row.model_id,
        provider=row.provider,
        amount=row.amount,
        entries=row.entries,
    )
