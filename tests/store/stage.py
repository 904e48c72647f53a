"""Helpers of the store's tests: plain rows, a count of statements, and threads that really meet."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from typing import Any, TypeVar

from sqlalchemy import Connection, event, text

from orchestrator.rules.states import PlacementState, State, Step
from orchestrator.rules.values import Account, Credential, Due, ModelType, Placement, Session
from orchestrator.store.database import Database
from orchestrator.store.transaction import Transaction
from tests.rules.builders import HOUR, T0, a_model, a_session
from tests.waiting import WAIT_LIMIT, eventually

T = TypeVar("T")


def an_account(account_id: str = "acme", **changes: Any) -> Account:
    """Return an account with funds, and nothing due."""
    plain = Account(id=account_id, plan="payg", currency="USD", balance=Decimal(100), created_at=T0)
    return replace(plain, **changes)


def session_id(n: int) -> str:
    return f"session-{n:05}"


def a_created(n: int = 1, **changes: Any) -> Session:
    return a_session(**({"id": session_id(n), "name": f"name-{n}"} | changes))


def a_queued(n: int = 1, **changes: Any) -> Session:
    """Return a queued session that came `n` seconds after T0 and is tried again in an hour."""
    waits = {
        "state": State.QUEUED,
        "queued_at": T0.replace(second=n),
        "queue_reason": "quota_concurrent_exceeded",
        "due": Due(Step.ADMIT, T0 + HOUR),
    }
    return a_created(n, **(waits | changes))


def a_running(n: int = 1, **changes: Any) -> Session:
    """Return a session that runs at alpha; its ping is due at T0, its stop in two hours."""
    runs = {
        "state": State.RUNNING,
        "running_at": T0 - HOUR,
        "running_since": T0 - HOUR,
        "stop_at": T0 + 2 * HOUR,
        "provider": "alpha",
        "credential": "env:A",
        "placements": 1,
        "ping_at": T0,
        "due": Due(Step.PING, T0),
    }
    return a_created(n, **(runs | changes))


def a_placement(n: int = 1, /, **changes: Any) -> Placement:
    """Return a placement of session `n`, open at alpha."""
    plain = Placement(
        id=f"placement-{n:05}",
        session_id=session_id(n),
        account_id="acme",
        n=1,
        provider="alpha",
        credential="env:A",
        model_id="llama",
        provider_model_id="llama-3",
        model_type=ModelType.LLM,
        price_per_node_hour=Decimal(60),
        currency="USD",
        state=PlacementState.OPEN,
        duration_seconds=3600,
        handle=f"handle-{n}",
        created_at=T0,
    )
    return replace(plain, **changes)


def an_opening(n: int = 1, /, **changes: Any) -> Placement:
    """Return a placement that is due to be opened at T0."""
    opens = {
        "state": PlacementState.OPENING,
        "handle": None,
        "due": Due(Step.OPEN, T0),
    }
    return a_placement(n, **(opens | changes))


def a_closing(n: int = 1, /, **changes: Any) -> Placement:
    """Return a placement that is due to be closed at T0."""
    closes = {
        "state": PlacementState.CLOSING,
        "closing_since": T0,
        "due": Due(Step.CLOSE, T0),
    }
    return a_placement(n, **(closes | changes))


def a_credential(ref: str = "env:A", **changes: Any) -> Credential:
    """Return an exclusive credential at alpha."""
    provider = str(changes.get("provider", "alpha"))
    plain = Credential(
        id=f"{provider}:{ref}",
        provider=provider,
        ref=ref,
        exclusive=True,
        serialised=True,
        fingerprint="f1",
    )
    return replace(plain, **changes)


def stock(database: Database) -> None:
    """Insert what sessions refer to: the account `acme` and the model `llama`."""

    def insert(tx: Transaction) -> None:
        tx.accounts.insert(an_account())
        tx.models.put(a_model())

    database.transact(insert)


def keep(database: Database, *things: Session | Placement | Credential | Account) -> None:
    """Insert these unchanged, in this order."""

    def insert(tx: Transaction) -> None:
        wanted = {c.id: c for c in (*tx.credentials.listed(), *things) if isinstance(c, Credential)}
        tx.credentials.sync(wanted)
        for thing in things:
            match thing:
                case Session():
                    tx.sessions.insert(thing)
                case Placement():
                    tx.placements.insert(thing)
                case Account():
                    tx.accounts.insert(thing)
                case Credential():
                    pass

    database.transact(insert)


def the_session(database: Database, n: int = 1) -> Session:
    found = database.transact(lambda tx: tx.sessions.get(session_id(n)))
    assert found is not None
    return found


def the_placement(database: Database, n: int = 1) -> Placement:
    found = database.transact(lambda tx: tx.placements.get(f"placement-{n:05}"))
    assert found is not None
    return found


def the_credential(database: Database, ref: str = "env:A") -> Credential:
    return {c.ref: c for c in database.transact(lambda tx: tx.credentials.listed())}[ref]


def is_sqlite(database: Database) -> bool:
    return database.engine.dialect.name == "sqlite"


def run(database: Database, sql: str, **values: Any) -> None:
    """Change rows behind the store's back."""
    database.transact(lambda tx: tx.connection.execute(text(sql), values))


def event_types(database: Database) -> list[str]:
    """Return the event types so far, without their common prefix."""
    events = database.transact(lambda tx: tx.outbox.tail())
    return [event.type.removeprefix("orchestrator.") for event in events]


@contextmanager
def statements(database: Database) -> Iterator[list[tuple[str, Any]]]:
    """Return every statement with its parameters, without BEGIN, COMMIT and ROLLBACK."""
    seen: list[tuple[str, Any]] = []

    def note(_c: Connection, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if not statement.startswith("BEGIN"):
            seen.append((statement, parameters))

    event.listen(database.engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(database.engine, "before_cursor_execute", note)


def at_once(*works: Callable[[], T]) -> list[T]:
    """Run each in a thread of its own, all let go at the same moment."""
    gate = threading.Barrier(len(works))

    def wait_then(work: Callable[[], T]) -> T:
        gate.wait(WAIT_LIMIT)
        return work()

    with ThreadPoolExecutor(len(works)) as pool:
        return [future.result(WAIT_LIMIT) for future in [pool.submit(wait_then, work) for work in works]]


@contextmanager
def meanwhile(work: Callable[[], T]) -> Iterator["Future[T]"]:
    """Run `work` in another thread; its outcome is there at the latest when the block ends."""
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(work)


@contextmanager
def holding(database: Database, sql: str) -> Iterator[Connection]:
    """Hold a second transaction open that has executed `sql`; roll it back at the end unless it is committed."""
    with database.engine.connect() as connection:
        connection.execute(text(sql))
        yield connection


def wait_until_blocked(database: Database, backends: int = 1) -> None:
    """Return once that many backends of this PostgreSQL database wait for a lock."""
    query = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        eventually(
            lambda: connection.execute(query).scalar_one() >= backends, "waits for a lock", every=0.001
        )
