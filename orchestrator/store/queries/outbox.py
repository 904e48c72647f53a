"""Events to be delivered: written with the change they report, delivered at least once, in order."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, delete, func, or_, select, update

from orchestrator.rules.events import Event
from orchestrator.store.core.gathering import Gathering
from orchestrator.store.plain import table_of
from orchestrator.store.queries.identity import Identity

OUTBOX = table_of("outbox")
#: No transaction lasts this long.
LONGEST_TRANSACTION = timedelta(seconds=90)


@dataclass(frozen=True, kw_only=True, slots=True)
class WaitingEvent:
    """An event with its place in the order."""

    seq: int
    id: str
    type: str
    subject: str
    time: datetime
    data: Any


class Outbox:
    """Gathers a transaction's events and writes them in one statement before the commit."""

    def __init__(
        self,
        connection: Connection,
        writes: Gathering,
        decided_at: Callable[[], datetime],
        identity: Identity,
    ) -> None:
        self._connection, self._writes = connection, writes
        self._decided_at = decided_at
        self._identity = identity
        self._gathered: list[tuple[datetime, Event]] = []

    def add(self, events: Iterable[Event]) -> None:
        """Collect events for the flush, with the time of the decision, in the order of the calls."""
        self._gathered.extend((self._decided_at(), event) for event in events)

    def alter_first(self, subject: str, alter: Callable[[Event], Event]) -> bool:
        """Alter the first event of this subject that is collected; return whether there is one."""
        for n, (at, event) in enumerate(self._gathered):
            if event.subject == subject:
                self._gathered[n] = at, alter(event)
                return True
        return False

    def flush(self) -> None:
        """Write the collected events. The row locks of the changes keep each subject's events in order."""
        if not self._gathered:
            return
        rows = [
            {
                "id": self._identity.new_id(),
                "type": e.type,
                "subject": e.subject,
                "time": at,
                "data": dict(e.data),
            }
            for at, e in self._gathered
        ]
        self._gathered.clear()
        self._writes.insert_all(OUTBOX, rows)

    def waiting(self, limit: int) -> Sequence[WaitingEvent]:
        """Return the oldest events not delivered yet, in order."""
        columns = (OUTBOX.c.seq, OUTBOX.c.id, OUTBOX.c.type, OUTBOX.c.subject, OUTBOX.c.time, OUTBOX.c.data)
        query = select(*columns).where(OUTBOX.c.delivered_at.is_(None)).order_by(OUTBOX.c.seq).limit(limit)
        return [WaitingEvent(**row._mapping) for row in self._connection.execute(query)]  # noqa: SLF001

    def mark_delivered(self, seqs: Sequence[int], now: datetime) -> None:
        """Mark these as delivered."""
        self._connection.execute(update(OUTBOX).where(OUTBOX.c.seq.in_(seqs)).values(delivered_at=now))

    def forget_before(self, at: datetime, limit: int = 10_000) -> Sequence[datetime]:
        """Delete delivered events from before then, among the oldest; return their times. The newest of all is kept, so
        that no place is given twice: SQLite counts on from the last row."""
        if not self._begins_before(at):
            return []
        oldest = (
            select(OUTBOX.c.seq, OUTBOX.c.time, OUTBOX.c.delivered_at)
            .order_by(OUTBOX.c.seq)
            .limit(limit)
            .subquery()
        )
        newest = select(func.max(OUTBOX.c.seq)).scalar_subquery()
        old = select(oldest.c.seq).where(
            oldest.c.time < at, oldest.c.delivered_at.is_not(None), oldest.c.seq < newest
        )
        gone = delete(OUTBOX).where(OUTBOX.c.seq.in_(old)).returning(OUTBOX.c.time)
        return list(self._connection.execute(gone).scalars())

    def oldest(self) -> datetime | None:
        """Return the time of the first event in the order. Return None if it is still to be delivered, or is the only
        one, which is kept."""
        first, last = (select(end(OUTBOX.c.seq)).scalar_subquery() for end in (func.min, func.max))
        query = select(OUTBOX.c.time).where(
            OUTBOX.c.seq == first, OUTBOX.c.delivered_at.is_not(None), last > first
        )
        at: datetime | None = self._connection.execute(query).scalar()
        return at

    def first_place(self) -> int | None:
        """Return the place of the oldest event that is kept; None if there is none."""
        place: int | None = self._connection.execute(select(func.min(OUTBOX.c.seq))).scalar()
        return place

    def place_of(self, event_id: str) -> int | None:
        """Return the place of the event with this id; None if it is not kept."""
        place: int | None = self._connection.execute(
            select(OUTBOX.c.seq).where(OUTBOX.c.id == event_id)
        ).scalar()
        return place

    def place_before(self, at: datetime) -> int:
        """Return a place behind which all events are that happened then or later. It reads these only: an event has
        the time of its decision, at most one transaction before it got its place."""
        older = select(OUTBOX.c.seq).where(OUTBOX.c.time < at - LONGEST_TRANSACTION)
        return int(self._connection.execute(older.order_by(OUTBOX.c.seq.desc()).limit(1)).scalar() or 0)

    def _begins_before(self, at: datetime) -> bool:
        first = select(OUTBOX.c.time).where(OUTBOX.c.seq == select(func.min(OUTBOX.c.seq)).scalar_subquery())
        oldest: datetime | None = self._connection.execute(first).scalar()
        return oldest is not None and oldest < at

    def newest(self, *, subject: str | None = None, limit: int = 100) -> Sequence[WaitingEvent]:
        """Return the last events, delivered or not, in their order."""
        columns = (OUTBOX.c.seq, OUTBOX.c.id, OUTBOX.c.type, OUTBOX.c.subject, OUTBOX.c.time, OUTBOX.c.data)
        query = select(*columns).order_by(OUTBOX.c.seq.desc()).limit(limit)
        if subject is not None:
            query = query.where(OUTBOX.c.subject == subject)
        rows = reversed(self._connection.execute(query).all())
        return [WaitingEvent(**row._mapping) for row in rows]  # noqa: SLF001

    def tail(
        self,
        *,
        after: int = 0,
        gaps: Collection[int] = (),
        subject: str | None = None,
        since: datetime | None = None,
        limit: int = 100,
    ) -> Sequence[WaitingEvent]:
        """Return events after a place in the order, delivered or not, for people who read along; `since`: not older.
        Include those of the places in `gaps` that have appeared since: a transaction that commits late has an earlier
        place."""
        columns = (OUTBOX.c.seq, OUTBOX.c.id, OUTBOX.c.type, OUTBOX.c.subject, OUTBOX.c.time, OUTBOX.c.data)
        wanted = or_(OUTBOX.c.seq > after, OUTBOX.c.seq.in_(gaps)) if gaps else OUTBOX.c.seq > after
        query = select(*columns).where(wanted).order_by(OUTBOX.c.seq).limit(limit)
        if subject is not None:
            query = query.where(OUTBOX.c.subject == subject)
        if since is not None:
            query = query.where(OUTBOX.c.time >= since)
        return [WaitingEvent(**row._mapping) for row in self._connection.execute(query)]  # noqa: SLF001
