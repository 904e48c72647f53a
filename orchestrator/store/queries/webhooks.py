"""Named queries over webhooks, and over the events that did not arrive there yet."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, func, insert, or_, select, text, tuple_, update

from orchestrator.rules.values import Delivery, Lease, Webhook
from orchestrator.store.core.rows import changes, snapshot, values_of
from orchestrator.store.plain import table_of
from orchestrator.store.queries.outbox import OUTBOX, WaitingEvent

WEBHOOKS = table_of("webhooks")
DELIVERIES = table_of("webhook_deliveries")
#: Values in one statement: databases bound their number.
_AT_ONCE = 500
_WAITS = DELIVERIES.c.dead_at.is_(None)
_EVENT = (OUTBOX.c.seq, OUTBOX.c.id, OUTBOX.c.type, OUTBOX.c.subject, OUTBOX.c.time, OUTBOX.c.data)


@dataclass(frozen=True, kw_only=True, slots=True)
class Backlog:
    """What did not arrive at one webhook."""

    waiting: int = 0
    dead: int = 0
    oldest: datetime | None = None
    """The time of the oldest event that waits."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NextEvents:
    """Events after a place, in order, up to the first place that may still be filled."""

    events: Sequence[WaitingEvent]
    place: int
    gap_until: int | None


class Webhooks:
    """Queries and changes of webhooks, inside one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def listed(self) -> Sequence[Webhook]:
        """Return every webhook, by name."""
        query = select(WEBHOOKS).order_by(WEBHOOKS.c.name)
        return [snapshot(Webhook, row) for row in self._connection.execute(query)]

    def get(self, name: str, *, lock: bool = False) -> Webhook | None:
        """Return the webhook of this name. `lock`: until the transaction ends."""
        query = select(WEBHOOKS).where(WEBHOOKS.c.name == name)
        row = self._connection.execute(query.with_for_update() if lock else query).first()
        return snapshot(Webhook, row) if row else None

    def insert(self, webhook: Webhook) -> None:
        """Add a webhook."""
        self._connection.execute(insert(WEBHOOKS).values(**values_of(webhook)))

    def save(self, before: Webhook, after: Webhook) -> None:
        """Write what has changed."""
        values = changes(before, after)
        if values:
            self._connection.execute(update(WEBHOOKS).where(WEBHOOKS.c.name == before.name).values(**values))

    def delete(self, name: str) -> bool:
        """Delete the webhook with everything that waits for it; return whether there was one."""
        self._connection.execute(delete(DELIVERIES).where(DELIVERIES.c.webhook == name))
        return bool(self._connection.execute(delete(WEBHOOKS).where(WEBHOOKS.c.name == name)).rowcount)

    def due(self, now: datetime) -> Sequence[str]:
        """Return the names of webhooks for which there may be something to send, and which no worker serves."""
        newer = select(OUTBOX.c.seq).where(OUTBOX.c.seq > WEBHOOKS.c.place).exists()
        again = (
            select(DELIVERIES.c.seq)
            .where(DELIVERIES.c.webhook == WEBHOOKS.c.name, *_to_be_tried(now))
            .exists()
        )
        query = select(WEBHOOKS.c.name).where(_is_free(now), or_(newer, again)).order_by(WEBHOOKS.c.name)
        return list(self._connection.execute(query).scalars())

    def claim(self, name: str, lease: Lease, now: datetime) -> Webhook | None:
        """Lease the webhook; None if another worker has it, or it is not due."""
        mine = update(WEBHOOKS).where(WEBHOOKS.c.name == name, _is_free(now))
        claimed = self._connection.execute(
            mine.values(lease_token=lease.token, lease_until=lease.until)
        ).rowcount
        return self.get(name) if claimed else None

    def newest_place(self) -> int:
        """Return the place of the newest event; 0 if there is none."""
        return self._connection.execute(select(func.max(OUTBOX.c.seq))).scalar() or 0

    def next_events(self, webhook: Webhook, limit: int) -> NextEvents:
        """Return the events after the webhook's place. A missing place is passed once no transaction can fill it:
        places are given before the commit, so that a later one may be seen first."""
        query = select(*_EVENT).where(OUTBOX.c.seq > webhook.place).order_by(OUTBOX.c.seq).limit(limit)
        events = [WaitingEvent(**row._mapping) for row in self._connection.execute(query)]  # noqa: SLF001
        if not events or self._connection.dialect.name != "postgresql":  # SQLite has one writer at a time
            return NextEvents(
                events=events, place=events[-1].seq if events else webhook.place, gap_until=None
            )
        place, ready = webhook.place, list[WaitingEvent]()
        passed = webhook.gap_until is not None and webhook.gap_until <= self._oldest_transaction()
        for event in events:
            if event.seq > place + 1 and not passed:
                gap_until = webhook.gap_until if not ready else None
                return NextEvents(events=ready, place=place, gap_until=gap_until or self._next_transaction())
            passed = False
            place = event.seq
            ready.append(event)
        return NextEvents(events=ready, place=place, gap_until=None)

    def _oldest_transaction(self) -> int:
        return self._number("pg_snapshot_xmin")

    def _next_transaction(self) -> int:
        return self._number("pg_snapshot_xmax")

    def _number(self, end: str) -> int:
        query = text(f"SELECT {end}(pg_current_snapshot())::text::bigint")
        return int(self._connection.execute(query).scalar_one())

    # what did not arrive

    def heads(self, name: str, now: datetime, limit: int) -> Sequence[Delivery]:
        """Return the first waiting event of each subject, if it is to be tried now, in their order."""
        query = (
            select(DELIVERIES)
            .where(DELIVERIES.c.webhook == name, *_to_be_tried(now))
            .order_by(DELIVERIES.c.seq)
            .limit(limit)
        )
        return [snapshot(Delivery, row) for row in self._connection.execute(query)]

    def waiting_subjects(self, name: str) -> frozenset[str]:
        """Return the subjects of which an event waits: later ones wait behind it."""
        query = select(DELIVERIES.c.subject).where(DELIVERIES.c.webhook == name, _WAITS).distinct()
        return frozenset(self._connection.execute(query).scalars())

    def waiting(self, name: str) -> Sequence[Delivery]:
        """Return what waits for another try."""
        query = select(DELIVERIES).where(DELIVERIES.c.webhook == name, _WAITS)
        return [snapshot(Delivery, row) for row in self._connection.execute(query)]

    def backlog(self, name: str) -> Backlog:
        """Return how much waits for this webhook, and how much was given up."""
        query = select(
            func.count().filter(_WAITS),
            func.count().filter(DELIVERIES.c.dead_at.is_not(None)),
            func.min(DELIVERIES.c.time).filter(_WAITS),
        ).where(DELIVERIES.c.webhook == name)
        waiting, dead, oldest = self._connection.execute(query).one()
        return Backlog(waiting=waiting, dead=dead, oldest=oldest)

    def oldest_undelivered(self, webhook: Webhook) -> datetime | None:
        """Return the time of the oldest event that waits for this webhook or that it has not been compared with; None
        if there is none."""
        newer = select(OUTBOX.c.time).where(OUTBOX.c.seq > webhook.place).order_by(OUTBOX.c.seq).limit(1)
        times = (self.backlog(webhook.name).oldest, self._connection.execute(newer).scalar())
        return min((at for at in times if at is not None), default=None)

    def dead_letters(self, name: str | None = None, limit: int = 1000) -> Sequence[Delivery]:
        """Return what was given up, oldest first."""
        query = select(DELIVERIES).where(DELIVERIES.c.dead_at.is_not(None))
        if name is not None:
            query = query.where(DELIVERIES.c.webhook == name)
        query = query.order_by(DELIVERIES.c.webhook, DELIVERIES.c.seq).limit(limit)
        return [snapshot(Delivery, row) for row in self._connection.execute(query)]

    def find_event(self, event_id: str) -> WaitingEvent | None:
        """Return the event with this id, if it is still kept."""
        row = self._connection.execute(select(*_EVENT).where(OUTBOX.c.id == event_id)).first()
        return WaitingEvent(**row._mapping) if row else None  # noqa: SLF001

    def put(self, deliveries: Sequence[Delivery]) -> None:
        """Write these, whether they waited before or not."""
        if deliveries:
            self.forget(deliveries[0].webhook, [one.seq for one in deliveries])
            self._connection.execute(insert(DELIVERIES), [values_of(one) for one in deliveries])

    def forget(self, name: str, seqs: Collection[int]) -> None:
        """Delete these: they have arrived, or are not wanted any more."""
        mine, all_of_them = DELIVERIES.c.webhook == name, list(seqs)
        for n in range(0, len(all_of_them), _AT_ONCE):
            some = DELIVERIES.c.seq.in_(all_of_them[n : n + _AT_ONCE])
            self._connection.execute(delete(DELIVERIES).where(mine, some))

    def forget_dead(self, before: datetime, limit: int = 10_000) -> int:
        """Delete what was given up before then, at most this many; return how many."""
        old = select(DELIVERIES.c.webhook, DELIVERIES.c.seq).where(DELIVERIES.c.dead_at < before).limit(limit)
        key = tuple_(DELIVERIES.c.webhook, DELIVERIES.c.seq)
        return self._connection.execute(delete(DELIVERIES).where(key.in_(old))).rowcount

    def try_all(self, name: str, now: datetime) -> None:
        """Try everything that waits at once: the receiver answers again, or the webhook was changed."""
        mine = (DELIVERIES.c.webhook == name, _WAITS, DELIVERIES.c.next_at > now)
        self._connection.execute(update(DELIVERIES).where(*mine).values(next_at=now))


def _to_be_tried(now: datetime) -> tuple[ColumnElement[bool], ...]:
    """Return the conditions of a delivery that is due, and the first of its subject that waits."""
    earlier = DELIVERIES.alias()
    behind = select(earlier.c.seq).where(
        earlier.c.webhook == DELIVERIES.c.webhook,
        earlier.c.subject == DELIVERIES.c.subject,
        earlier.c.dead_at.is_(None),
        earlier.c.seq < DELIVERIES.c.seq,
    )
    return _WAITS, DELIVERIES.c.next_at <= now, ~behind.exists()


def _is_free(now: datetime) -> ColumnElement[bool]:
    free = or_(WEBHOOKS.c.lease_until.is_(None), WEBHOOKS.c.lease_until <= now)
    condition: Any = WEBHOOKS.c.active & (WEBHOOKS.c.next_at <= now) & free
    return condition  # type: ignore[no-any-return]
