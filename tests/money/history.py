"""Events and rows, read through separate connections and put together without the system's rules."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, Row, Table, func, select

from orchestrator.flows.reports.costs import MOST_RUNNING, costs
from orchestrator.rules.billing.costs import CostsBy
from orchestrator.rules.values import Account, Placement, Session
from orchestrator.store.core.rows import snapshot
from orchestrator.store.database import Database
from orchestrator.store.plain import table_of
from orchestrator.store.queries.ledger import Entry
from orchestrator.store.transaction import Transaction

OUTBOX, SESSIONS, PLACEMENTS = table_of("outbox"), table_of("sessions"), table_of("placements")
ACCOUNTS, LEDGER, MODELS = table_of("accounts"), table_of("ledger"), table_of("models")
COSTS = table_of("daily_costs")
#: States in which a session holds a slot.
HOLDS_A_SLOT = frozenset({"starting", "running", "stopping"})
OVER = frozenset({"stopped", "failed"})


@dataclass(frozen=True, kw_only=True)
class Event:
    """One event."""

    seq: int
    kind: str
    subject: str
    time: datetime
    data: dict[str, str]


@dataclass(kw_only=True)
class Run:
    """An interval of RUNNING, from the event that began it to the instant at which its end took effect."""

    seq: int
    start: datetime
    declared_end: datetime | None
    end: datetime | None = None
    given_back: tuple[int, datetime] | None = None
    """Its cost after its end was given back, by which event and when: a brake held it, or it was idle."""


@dataclass(kw_only=True)
class Life:
    """One session, as far as its events show."""

    id: str
    account: str
    state: str
    runs: list[Run] = field(default_factory=list)
    unproven: dict[str, datetime] = field(default_factory=dict)
    deleted: bool = False
    stopped_seq: int | None = None
    stop_event_at: datetime | None = None
    """When the decision was written; its effect may be earlier."""


@dataclass(kw_only=True)
class Credited:
    seq: int
    time: datetime
    amount: Decimal


@dataclass(kw_only=True)
class Rows:
    """Everything that the store holds of sessions and money."""

    sessions: dict[str, Session] = field(default_factory=dict)
    placements: dict[str, list[Placement]] = field(default_factory=dict)
    accounts: dict[str, Account] = field(default_factory=dict)
    ledger: list[Entry] = field(default_factory=list)
    costs: list[tuple[str, date, str, Decimal]] = field(default_factory=list)
    """What was charged: account, day, model, amount."""
    prices: dict[str, Decimal] = field(default_factory=dict)
    """Prices of models, per node and hour."""


class History:
    """Reads on, event by event; `rows` and `before` are the store now and at the last read that found events."""

    def __init__(self, database_url: str) -> None:
        self._database = Database(database_url)
        self.reset()

    def close(self) -> None:
        self._database.dispose()

    def reset(self) -> None:
        """Start a new story: forget everything before."""
        self.rows, self.before = Rows(), Rows()
        self.lives: dict[str, Life] = {}
        self.credits: dict[str, list[Credited]] = {}
        self.events: list[Event] = []
        with self._database.reading() as tx:
            self._seq = tx.connection.execute(select(func.max(OUTBOX.c.seq))).scalar() or 0

    def look(self) -> Iterator[Event]:
        """Yield the new events, each once it is noted in `lives`."""
        with self._database.reading() as tx:
            new = _events(tx, self._seq)
            if not new:
                return
            self.before, self.rows = self.rows, _rows(tx)
        self._seq = new[-1].seq
        self.events += new
        for event in new:
            yield from self._noted(event)

    def read_rows(self) -> Rows:
        """Read the store as it is now, with or without events of a change."""
        with self._database.reading() as tx:
            self.rows = _rows(tx)
        return self.rows

    @property
    def seq(self) -> int:
        """Return the sequence number of the last event that was read."""
        return self._seq

    def kept(self, account_id: str) -> list[Life]:
        """Return an account's sessions that are not deleted."""
        return [life for life in self.lives.values() if life.account == account_id and not life.deleted]

    def costs(self, by: CostsBy, now: datetime) -> Mapping[str, Any]:
        """Return what is reported to have been spent since the beginning, to burn and to be expected."""
        with self._database.reading() as tx:
            return costs(tx, now, by, date(1970, 1, 1), None, 100, MOST_RUNNING)

    def chronicle(self) -> str:
        """Return all of it as text, for the message of a failing test."""
        lines = [
            f"{event.time:%H:%M:%S.%f} {event.kind} {event.subject} {_shown(event)}" for event in self.events
        ]
        lines += [
            f"{entry.at:%H:%M:%S.%f} {entry.key}: {entry.debit} → {entry.credit} {entry.amount}"
            for entry in self.rows.ledger
        ]
        return "\n".join(lines)

    def _noted(self, event: Event) -> Iterator[Event]:
        family, _, kind = event.kind.partition(".")
        if event.kind == "account.credited":
            credited = Credited(seq=event.seq, time=event.time, amount=Decimal(event.data["amount"]))
            self.credits.setdefault(event.subject, []).append(credited)
        if family != "session":
            return
        if kind == "created":
            account = event.data["account_id"]
            self.lives[event.subject] = Life(id=event.subject, account=account, state="created")
        life = self.lives[event.subject]
        yield event
        self._change(life, kind, event)

    def _change(self, life: Life, kind: str, event: Event) -> None:
        row = self.rows.sessions[life.id]
        if kind == "unproven":
            life.unproven.setdefault(event.data["placement_id"], event.time)
        if kind == "deleted":
            life.deleted = True
        if kind in {"unproven", "deleted"} or life.state == event.data["state"]:
            return
        assert life.state not in OVER, f"{life.id} was over, and became {event.data['state']}"
        was, life.state = life.state, event.data["state"]
        if life.state == "running":
            declared_end = _declared_end(self.rows, life.id)
            life.runs.append(Run(seq=event.seq, start=event.time, declared_end=declared_end))
        elif was == "running":
            self._end_run(life, row, event)
        if life.state in OVER | {"stopping"} and life.stopped_seq is None:
            life.stopped_seq, life.stop_event_at = event.seq, event.time

    @staticmethod
    def _end_run(life: Life, row: Session, event: Event) -> None:
        run = life.runs[-1]
        if event.kind == "session.failed_over":
            run.end = datetime.fromisoformat(event.data["paid_until"])
            ends = {min(event.time, run.declared_end or event.time)} | _held(event)
            assert run.end in ends, f"{life.id} moved at {event.time}, and pays until {run.end}"
        else:
            assert row.stopped_at is not None
            run.end = row.stopped_at
        if run.end in _held(event) or event.data["stop_reason"] == "idle":
            run.given_back = event.seq, event.time
        assert run.start <= run.end <= event.time, f"{life.id} stopped with effect at {run.end}"


def _held(event: Event) -> set[datetime]:
    """Return where the cost of a session ends that is found dead after a brake held it."""
    return {datetime.fromisoformat(event.data["last_alive_at"])} if "held_since" in event.data else set()


def _declared_end(rows: Rows, session_id: str) -> datetime | None:
    return rows.placements[session_id][-1].declared_end_at


def _events(tx: Transaction, after: int) -> list[Event]:
    columns = (OUTBOX.c.seq, OUTBOX.c.type, OUTBOX.c.subject, OUTBOX.c.time, OUTBOX.c.data)
    found = tx.connection.execute(select(*columns).where(OUTBOX.c.seq > after).order_by(OUTBOX.c.seq))
    return [
        Event(
            seq=row.seq,
            kind=row.type.removeprefix("orchestrator."),
            subject=row.subject,
            time=row.time,
            data=row.data,
        )
        for row in found
    ]


def _rows(tx: Transaction) -> Rows:
    rows = Rows(ledger=[snapshot(Entry, row) for row in _all(tx, LEDGER, LEDGER.c.id)])
    for row in _all(tx, SESSIONS, SESSIONS.c.id):
        rows.sessions[row.id] = snapshot(Session, row)
        rows.placements[row.id] = []
    for row in _all(tx, PLACEMENTS, PLACEMENTS.c.n):
        if row.session_id is not None:
            rows.placements[row.session_id].append(snapshot(Placement, row))
    rows.accounts = {row.id: snapshot(Account, row) for row in _all(tx, ACCOUNTS, ACCOUNTS.c.id)}
    costs = _all(tx, COSTS, COSTS.c.account_id)
    rows.costs = [(row.account_id, row.day, row.model_id, row.amount) for row in costs]
    rows.prices = {row.id: row.price_per_node_hour for row in _all(tx, MODELS, MODELS.c.id)}
    return rows


def _all(tx: Transaction, table: Table, order: ColumnElement[Any]) -> Sequence[Row[Any]]:
    return tx.connection.execute(select(table).order_by(order)).all()


def _shown(event: Event) -> str:
    wanted = (
        "state",
        "stop_reason",
        "stop_detail",
        "charged",
        "provider",
        "amount",
        "balance",
        "last_answer",
    )
    return " ".join(f"{name}={event.data[name]}" for name in wanted if event.data.get(name) is not None)
