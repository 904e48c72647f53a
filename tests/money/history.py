"""Events and rows, read through separate connections and put together without the system's rules."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, Row, Table, func, select

from orchestrator.rules.values import Account, Placement, Session
from orchestrator.store.core.rows import snapshot, table_of
from orchestrator.store.database import Database
from orchestrator.store.queries.ledger import Entry
from orchestrator.store.tables import AccountRow, LedgerRow, ModelRow, OutboxRow, PlacementRow, SessionRow
from orchestrator.store.transaction import Transaction

OUTBOX, SESSIONS, PLACEMENTS = table_of(OutboxRow), table_of(SessionRow), table_of(PlacementRow)
ACCOUNTS, LEDGER, MODELS = table_of(AccountRow), table_of(LedgerRow), table_of(ModelRow)
#: States in which a session holds a slot.
HOLDS_A_SLOT = frozenset({"starting", "running", "stopping"})
OVER = frozenset({"stopped", "failed"})


@dataclass(frozen=True, kw_only=True)
class Told:
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
    stopped_told: datetime | None = None
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
        self.told: list[Told] = []
        with self._database.reading() as tx:
            self._seq = tx.connection.execute(select(func.max(OUTBOX.c.seq))).scalar() or 0

    def look(self) -> Iterator[Told]:
        """Yield the new events, each once it is noted in `lives`."""
        with self._database.reading() as tx:
            new = _events(tx, self._seq)
            if not new:
                return
            self.before, self.rows = self.rows, _rows(tx)
        self._seq = new[-1].seq
        self.told += new
        for told in new:
            yield from self._noted(told)

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

    def chronicle(self) -> str:
        """Return all of it as text, for the message of a failing test."""
        lines = [f"{told.time:%H:%M:%S.%f} {told.kind} {told.subject} {_shown(told)}" for told in self.told]
        lines += [
            f"{entry.at:%H:%M:%S.%f} {entry.key}: {entry.debit} → {entry.credit} {entry.amount}"
            for entry in self.rows.ledger
        ]
        return "\n".join(lines)

    def _noted(self, told: Told) -> Iterator[Told]:
        family, _, kind = told.kind.partition(".")
        if told.kind == "account.credited":
            credited = Credited(seq=told.seq, time=told.time, amount=Decimal(told.data["amount"]))
            self.credits.setdefault(told.subject, []).append(credited)
        if family != "session":
            return
        if kind == "created":
            account = told.data["account_id"]
            self.lives[told.subject] = Life(id=told.subject, account=account, state="created")
        life = self.lives[told.subject]
        yield told
        self._change(life, kind, told)

    def _change(self, life: Life, kind: str, told: Told) -> None:
        row = self.rows.sessions[life.id]
        if kind == "unproven":
            life.unproven.setdefault(told.data["placement_id"], told.time)
        if kind == "deleted":
            life.deleted = True
        if kind in {"unproven", "deleted"} or life.state == told.data["state"]:
            return
        assert life.state not in OVER, f"{life.id} was over, and became {told.data['state']}"
        was, life.state = life.state, told.data["state"]
        if life.state == "running":
            declared_end = _declared_end(self.rows, life.id)
            life.runs.append(Run(seq=told.seq, start=told.time, declared_end=declared_end))
        elif was == "running":
            self._end_run(life, row, told)
        if life.state in OVER | {"stopping"} and life.stopped_seq is None:
            life.stopped_seq, life.stopped_told = told.seq, told.time

    @staticmethod
    def _end_run(life: Life, row: Session, told: Told) -> None:
        run = life.runs[-1]
        if told.kind == "session.failed_over":
            run.end = datetime.fromisoformat(told.data["paid_until"])
            ends = {min(told.time, run.declared_end or told.time)} | _held(told)
            assert run.end in ends, f"{life.id} moved at {told.time}, and pays until {run.end}"
        else:
            assert row.stopped_at is not None
            run.end = row.stopped_at
        if run.end in _held(told) or told.data["stop_reason"] == "idle":
            run.given_back = told.seq, told.time
        assert run.start <= run.end <= told.time, f"{life.id} stopped with effect at {run.end}"


def _held(told: Told) -> set[datetime]:
    """Return where the cost of a session ends that is found dead after a brake held it."""
    return {datetime.fromisoformat(told.data["last_alive_at"])} if "held_since" in told.data else set()


def _declared_end(rows: Rows, session_id: str) -> datetime | None:
    return rows.placements[session_id][-1].declared_end_at


def _events(tx: Transaction, after: int) -> list[Told]:
    columns = (OUTBOX.c.seq, OUTBOX.c.type, OUTBOX.c.subject, OUTBOX.c.time, OUTBOX.c.data)
    found = tx.connection.execute(select(*columns).where(OUTBOX.c.seq > after).order_by(OUTBOX.c.seq))
    return [
        Told(
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
    rows.prices = {row.id: row.price_per_node_hour for row in _all(tx, MODELS, MODELS.c.id)}
    return rows


def _all(tx: Transaction, table: Table, order: ColumnElement[Any]) -> Sequence[Row[Any]]:
    return tx.connection.execute(select(table).order_by(order)).all()


def _shown(told: Told) -> str:
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
    return " ".join(f"{name}={told.data[name]}" for name in wanted if told.data.get(name) is not None)
