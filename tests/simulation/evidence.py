"""What is known when everything is at rest: the providers' own logs, and the database as a new connection sees it."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cached_property
from typing import Any, TypeVar

from sqlalchemy import Table, select

from orchestrator.rules.states import StopReason
from orchestrator.rules.values import Account, Placement, Session
from orchestrator.settings import Configuration
from orchestrator.simulator import Call, SimSession
from orchestrator.store.core.rows import snapshot
from orchestrator.store.database import Database
from orchestrator.store.queries.accounts import ACCOUNTS
from orchestrator.store.queries.inbox import INBOX
from orchestrator.store.queries.ledger import LEDGER, Entry
from orchestrator.store.queries.outbox import OUTBOX
from orchestrator.store.queries.placements import PLACEMENTS
from orchestrator.store.queries.sessions import SESSIONS

T = TypeVar("T")
Outcome = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """One event of the outbox."""

    seq: int
    id: str
    kind: str
    """Its type without `orchestrator.`: `session.running`."""
    subject: str
    at: datetime
    data: Mapping[str, Any]
    delivered: bool


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """The input of the invariants. Read it when nothing moves."""

    config: Configuration
    now: datetime
    upstream: Sequence[SimSession] = ()
    """Every session that a simulated platform ever opened. An upstream is named as its provider."""
    calls: Sequence[Call] = ()
    """Every call that the platforms received."""
    asked: Mapping[int, str] | None = None
    """A call's number → the placement that it was about; None: the caller did not record it."""
    not_ours: frozenset[str] = frozenset()
    """Upstreams where another system opens and ends the sessions."""
    foreign: frozenset[str] = frozenset()
    """Foreign sessions at upstreams that are ours."""
    by_id: frozenset[str] = frozenset()
    """Upstreams that list their sessions and close them by id: their orphans must have been closed by now."""
    exclusive: frozenset[str] = frozenset()
    """Upstreams where one key carries one session at most."""
    clock_ahead: timedelta = timedelta(0)
    """How far the platforms' clocks are ahead of the store's."""
    troubles: Sequence[tuple[datetime, datetime]] = ()
    """When something that a stop needs was out of order: a late stop is excused for no longer than that."""
    failed_here: Sequence[tuple[datetime, str | None]] = ()
    """When a call failed on the worker's own machine, before a byte left it, and the placement that it was about."""
    never_arrived: Sequence[tuple[datetime, str | None]] = ()
    """When a worker gave up a request that the network swallowed, and the placement that it was about."""
    uses: Sequence[tuple[str, datetime, datetime]] = ()
    """Session, when it was used, and by when a report of that was recorded."""
    answers: Mapping[str, Sequence[Outcome]] = field(default_factory=dict)
    """Task id → every outcome that a client received; none: the job got lost."""
    delivered: Sequence[Mapping[str, Any]] | None = None
    """CloudEvents as they arrived at a sink; None: they were not recorded."""
    swept_away: frozenset[str] = frozenset()
    """Ids of events that a broker accepted, and lost with all its data before the sink had read them."""
    stamps: timedelta = timedelta(milliseconds=100)
    """How far apart a row and its event may be: both have the instant of the decision, read from the clock once or
    twice in a transaction."""
    late: timedelta = timedelta(seconds=5)
    """How late a stop may be beyond its deadline and the troubles."""

    sessions: Mapping[str, Session]
    placements: Sequence[Placement]
    accounts: Mapping[str, Account]
    ledger: Sequence[Entry]
    """Return them, oldest first."""
    events: Sequence[Event]
    """Return them in the order in which they were written."""
    inbox: Mapping[str, Outcome | None]

    @cached_property
    def of_session(self) -> Mapping[str, Sequence[Placement]]:
        """Return placements by session, oldest first, without orphans."""
        mine = (placement for placement in self.placements if placement.session_id is not None)
        return _grouped(mine, lambda placement: str(placement.session_id))

    @cached_property
    def events_of(self) -> Mapping[str, Sequence[Event]]:
        """Return events by subject."""
        return _grouped(self.events, lambda event: event.subject)

    @cached_property
    def calls_at(self) -> Mapping[str, Sequence[Call]]:
        """Return calls by upstream."""
        return _grouped(self.calls, lambda call: call.upstream)

    @cached_property
    def charges_of(self) -> Mapping[str, Sequence[Entry]]:
        """Return charges by session."""
        charges = (entry for entry in self.ledger if entry.kind == "charge")
        return _grouped(charges, lambda entry: str(entry.session_id))

    def at(self, seconds: float) -> datetime:
        """Return a platform's time as the store's."""
        return datetime.fromtimestamp(seconds, UTC) - self.clock_ahead

    def trouble_between(
        self, since: datetime, until: datetime, also: Iterable[tuple[datetime, datetime]] = ()
    ) -> timedelta:
        """Return how much of this time something was out of order. `also`: further trouble of this question."""
        total, covered = timedelta(0), since
        for begun, over in sorted([*self.troubles, *also]):
            begun, over = max(begun, covered), min(over, until)  # noqa: PLW2901
            if over > begun:
                total, covered = total + (over - begun), over
        return total

    def is_troubled(self, since: datetime, until: datetime) -> bool:
        """Return whether anything was out of order in this time."""
        return any(begun <= until and over >= since for begun, over in self.troubles)


def gather(database: Database, config: Configuration, now: datetime, **seen: Any) -> Evidence:
    """Read the database, and combine it with what was recorded elsewhere."""
    with database.reading() as tx:

        def rows(kind: type[T], table: Table) -> list[T]:
            return [snapshot(kind, row) for row in tx.connection.execute(select(table))]

        events = [_event(row) for row in tx.connection.execute(select(OUTBOX).order_by(OUTBOX.c.seq))]
        ledger = [snapshot(Entry, r) for r in tx.connection.execute(select(LEDGER).order_by(LEDGER.c.id))]
        inbox = {row.task_id: row.outcome for row in tx.connection.execute(select(INBOX))}
        return Evidence(
            config=config,
            now=now,
            sessions={session.id: session for session in rows(Session, SESSIONS)},
            placements=sorted(rows(Placement, PLACEMENTS), key=lambda p: (p.created_at, p.n)),
            accounts={account.id: account for account in rows(Account, ACCOUNTS)},
            ledger=ledger,
            events=events,
            inbox=inbox,
            **seen,
        )


def stop_event(evidence: Evidence, session: Session) -> Event | None:
    """Return the event of its stop."""
    kinds = {"session.stopping", "session.stopped", "session.failed"}
    return next((e for e in evidence.events_of.get(session.id, ()) if e.kind in kinds), None)


def given_back(event: Event) -> bool:
    """Return whether a session ended with effect long before: it cost until the event, and that was given back."""
    return "held_since" in event.data or event.data.get("stop_reason") == StopReason.IDLE


def total(entries: Iterable[Entry]) -> Decimal:
    """Return their sum."""
    return sum((entry.amount for entry in entries), Decimal(0))


def _event(row: Any) -> Event:
    return Event(
        seq=row.seq,
        id=row.id,
        kind=row.type.removeprefix("orchestrator."),
        subject=row.subject,
        at=row.time,
        data=row.data,
        delivered=row.delivered_at is not None,
    )


def _grouped(items: Iterable[T], key: Any) -> Mapping[str, list[T]]:
    groups: dict[str, list[T]] = defaultdict(list)
    for item in items:
        groups[key(item)].append(item)
    return groups
