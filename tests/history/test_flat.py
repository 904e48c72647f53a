"""Costs follow what lives: every job, every tick and every check reads as much beside a short past as beside a long
one, in as many statements.

PAST=1000000 pytest tests/history/test_flat.py      # `make test-history`
"""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection, event, text

from orchestrator.client import JOBS
from orchestrator.flows.audit.audit_store import audit_store
from orchestrator.flows.reports.account_view import forecast, with_quota
from orchestrator.flows.reports.measure import measure
from orchestrator.flows.reports.views import of_session, of_sessions
from orchestrator.rules.states import State
from orchestrator.rules.values import Account
from orchestrator.store.database import Database
from orchestrator.store.transaction import Transaction
from orchestrator.tasks.ticks import TICKS, TickContext
from tests.history.past import KEEPER, catch_up, give_a_past, multiply, open_account
from tests.in_process import START
from tests.money.stage import HOUR, SECOND, Stage
from tests.servers import Postgres
from tests.store.stage import statements

FEW, MANY = 10, int(os.environ.get("PAST", "20000"))
#: Rows that a step may read beyond its reads beside a short past: pages of lists, dead entries of an index. The audit
#: reads this many rows in turn, and no more.
SLACK, AUDIT = 400, 18_000
AUDITS = "orchestrator.tick.audit"
#: Tables of the past.
GROWING = ("sessions", "placements", "ledger", "outbox", "inbox")


@dataclass(frozen=True)
class Cost:
    statements: int
    rows: int


@pytest.fixture(scope="module")
def before_and_after(postgres: Postgres) -> tuple[Mapping[str, Cost], Mapping[str, Cost]]:
    """Return the cost of each step, beside few and beside many ended sessions."""
    with postgres.fresh_database() as url:
        stage = Stage(url, plans={KEEPER.name: KEEPER})
        stage.reset()
        open_account(stage)
        give_a_past(stage, FEW)
        with counting(stage.services.database) as read:
            for _, step in steps(stage, "first"):  # what is done only once is done
                step()
            few = {name: cost(stage, step, read) for name, step in steps(stage, "few")}
            multiply(stage, "acme-old", MANY, first=FEW)
            catch_up(stage)
            audit_store(stage.services)
            many = {name: cost(stage, step, read) for name, step in steps(stage, "many")}
        stage.close()
    return few, many


@pytest.mark.timeout(3600)
def test_every_step_reads_what_lives(
    before_and_after: tuple[Mapping[str, Cost], Mapping[str, Cost]],
) -> None:
    few, many = before_and_after
    dear = {
        name: f"{few[name].rows} rows beside {FEW}, {many[name].rows} beside {MANY}"
        for name in few
        if many[name].rows > few[name].rows + (AUDIT if name.startswith(AUDITS) else SLACK)
    }
    assert dear == {}


@pytest.mark.timeout(3600)
def test_every_step_is_as_many_statements(
    before_and_after: tuple[Mapping[str, Cost], Mapping[str, Cost]],
) -> None:
    few, many = before_and_after
    more = {
        name: (few[name].statements, many[name].statements)
        for name in few
        if not name.startswith(AUDITS) and few[name].statements != many[name].statements
    }
    assert more == {}


@pytest.mark.timeout(3600)
def test_nothing_is_left_out(before_and_after: tuple[Mapping[str, Cost], Mapping[str, Cost]]) -> None:
    few, _ = before_and_after
    assert {f"orchestrator.{job.removeprefix('orchestrator.')}" for job in JOBS} <= few.keys()
    assert TICKS.keys() <= few.keys()


def test_nothing_is_scanned_on_sqlite(sqlite_url: str) -> None:
    stage = Stage(sqlite_url, plans={KEEPER.name: KEEPER})
    stage.reset()
    open_account(stage)
    give_a_past(stage, 1000)
    small = partial_indexes(stage.services.database)
    scans = {}
    for name, step in steps(stage, "few"):
        with statements(stage.services.database) as seen:
            step()
        found = [scan for one in seen for scan in scanned(stage.services.database, *one, small)]
        if found:
            scans[name] = found
    stage.close()
    assert scans == {}


def steps(stage: Stage, name: str) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Yield every job in a life that needs them all, every tick, every check; by their names."""
    one, two, three = f"{name}-1", f"{name}-2", f"{name}-3"
    numbers = count(1)
    stage.jump(
        HOUR - (stage.clock.now - START) % HOUR
    )  # what is done each minute or hour falls on the same steps

    def job(job_name: str, **kwargs: Any) -> tuple[str, Callable[[], Any]]:
        stage.jump(SECOND)
        kind = f"orchestrator.{job_name}"
        return kind, lambda: stage.job(job_name, task_id=f"{name}-task-{next(numbers)}", **kwargs)

    session = {"account_id": "acme", "model_id": "llama"}
    model = {"type": "LLM", "size": "8B", "learning_stage": "Instruction-tuned", "currency": "USD"}
    yield job("account.put", account_id="acme", plan=KEEPER.name, currency="USD")
    yield job("account.credit", account_id="acme", amount="5", currency="USD", key=name)
    why = {"reason": "mistyped", "author": "ops"}
    yield job("account.budget", account_id="acme", period="month", amount="1000000", currency="USD")
    yield job("account.debit", account_id="acme", amount="0.01", currency="USD", key=name, **why)
    yield job(
        "model.put",
        id="llama",
        price_per_node_hour="1.20",
        providers=["alpha"],
        provider_model_id="m",
        **model,
    )
    yield job("session.create", session_id=one, **session)
    yield from ticks(stage)
    yield job("session.ping", session_id=one)
    yield job("session.record_interactions", batch=[{"session_id": one, "count": 3}])
    yield job("session.extend", session_id=one, max_interactions=100)
    yield job("session.get", session_id=one)
    yield job("session.list", account_id="acme", state=["running"], limit=5)  # the past began at one instant
    yield job("account.get", account_id="acme")
    yield from looks(stage, one)
    yield job("session.close", session_id=one)
    yield from ((f"{kind}, closing", tick) for kind, tick in ticks(stage))
    yield job("session.delete", session_id=one)
    yield "a create that waits", job("session.create", session_id=two, start=False, **session)[1]
    yield job("session.start", session_id=two)
    yield "a create without a name", job("session.create", **session)[1]
    yield "a name that is taken", job("session.create", session_id=three, name="acme-old", **session)[1]
    stage.settle()
    for other in (two,):
        stage.done("session.close", session_id=other)
    stage.settle()


def ticks(stage: Stage) -> Iterator[tuple[str, Callable[[], Any]]]:
    around = TickContext(services=stage.services, sinks=(), webhooks=stage.webhooks)
    for name, tick in TICKS.items():
        stage.jump(SECOND)
        yield name, lambda tick=tick: tick.run(around)  # type: ignore[misc]


def looks(stage: Stage, session_id: str) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Yield the queries of people, and of scrapers."""

    def reading(look: Callable[[Transaction, Account], Any]) -> Callable[[], Any]:
        def work() -> None:
            with stage.services.database.reading() as tx:
                account = tx.accounts.get("acme")
                assert account is not None
                look(tx, account)

        return work

    config = stage.services.config
    yield "account show", reading(lambda tx, a: with_quota(tx, config, a, tx.now()))
    yield "account forecast", reading(lambda tx, a: forecast(tx, config, a, tx.now()))
    yield "account ledger", reading(lambda tx, a: tx.ledger.lines(a.id, 20))
    yield "session list", reading(lambda tx, _: of_sessions(tx, tx.sessions.listed(limit=5), tx.now()))
    for state in State:
        yield f"session list {state}", reading(lambda tx, _, s=state: tx.sessions.listed(states=[s], limit=5))  # type: ignore[misc]
        yield (
            f"session list of an account {state}",
            reading(lambda tx, a, s=state: tx.sessions.listed(account_id=a.id, states=[s], limit=5)),  # type: ignore[misc]
        )
    yield "session show", reading(lambda tx, _: of_session(tx, _found(tx, session_id), tx.now()))
    yield "unproven", reading(lambda tx, _: tx.placements.unproven())
    yield "a scrape", lambda: measure(stage.services.database, ("alpha",))
    yield "who was ours", reading(lambda tx, _: _was_ours(tx, session_id))


def _found(tx: Transaction, session_id: str) -> Any:
    session = tx.sessions.get(session_id)
    assert session is not None
    return session


def _was_ours(tx: Transaction, session_id: str) -> None:
    """Run the queries that identify an open with a lost answer."""
    (placement,) = tx.placements.of_session(session_id)
    tx.placements.handles_since(placement.provider, {placement.id: tx.now()})
    tx.placements.rivals(placement)
    tx.leftovers.may_be_ours(placement, "unknown", tx.now())
    tx.observations.unended(placement.provider, placement.credential, None, tx.now())
    tx.observations.ended_like(placement.provider, ["unknown"], ["a name"], tx.now())
    tx.observations.serving_under([], placement.provider, ["unknown"], ["a name"])


def cost(stage: Stage, step: Callable[[], Any], read: Callable[[], int]) -> Cost:
    before = read()
    with statements(stage.services.database) as seen:
        step()
    return Cost(statements=len(seen), rows=read() - before)


@contextmanager
def counting(database: Database) -> Iterator[Callable[[], int]]:
    """Count the rows of the growing tables, and entries of their indexes, that have been read."""

    def flush(connection: Connection) -> None:
        cursor = connection.connection.cursor()
        with suppress(psycopg.Error):
            cursor.execute("SELECT pg_stat_force_next_flush()")  # otherwise once a second
        cursor.close()

    tables = ", ".join(f"'{name}'" for name in GROWING)
    query = text(
        f"SELECT (SELECT sum(seq_tup_read) FROM pg_stat_user_tables WHERE relname IN ({tables}))"
        f" + (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE relname IN ({tables}))"
    )

    def read() -> int:
        with database.engine.connect() as connection:
            return int(connection.execute(query).scalar_one())

    for name in ("commit", "rollback"):
        event.listen(database.engine, name, flush)
    try:
        yield read
    finally:
        for name in ("commit", "rollback"):
            event.remove(database.engine, name, flush)


def partial_indexes(database: Database) -> set[str]:
    """Return those that hold only live or wrong rows: they are small, and may be read to their end."""
    query = (
        "SELECT name FROM sqlite_master WHERE type = 'index' AND sql LIKE '% WHERE %'"
        " AND sql NOT LIKE '%deleted_at IS NULL%' AND sql NOT LIKE '%ended_at IS NOT NULL%'"
    )
    with database.engine.connect() as connection:
        return set(connection.execute(text(query)).scalars())


def scanned(database: Database, statement: str, parameters: Any, small: set[str]) -> list[str]:
    """Return the steps of its plan that read a growing table to its end."""
    if statement.split(maxsplit=1)[0] not in {"SELECT", "UPDATE", "DELETE", "WITH"}:
        return []
    with database.engine.connect() as connection:
        one = parameters[0] if isinstance(parameters, list) else parameters
        plan = [row[3] for row in connection.exec_driver_sql("EXPLAIN QUERY PLAN " + statement, one)]
    return [
        f"{line}: {statement}"
        for line in plan
        if line.startswith("SCAN") and line.split()[1] in GROWING and line.split()[-1] not in small
    ]
