"""An account with a hundred thousand running sessions: every operation on it reads as much as beside ten."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import Connection, event, text

from orchestrator.flows.lifecycle.due_stops import on_account
from orchestrator.flows.steps.open_due import open_due
from orchestrator.flows.steps.ping.ping_due import ping_due
from orchestrator.flows.steps.post_charges import post_charges
from orchestrator.rules.values import Plan
from orchestrator.store.database import Database
from orchestrator.store.plain import table_of
from tests.history.past import analyse, copy
from tests.history.test_flat import counting
from tests.money.stage import HOUR, Stage
from tests.store.stage import is_sqlite

FEW, MANY = 10, int(os.environ.get("RUNNING", "100000"))
LARGE = Plan(name="large", max_sessions=10**9, max_concurrent=10**9, max_nodes_total=10**9)
#: Statements of each step, for every payer: most are those of the job, the open or the ping itself.
STATEMENTS = {
    "sqlite": {"lock": 2, "create": 9, "first good ping": 12, "close": 10, "credit": 8, "charges": 8},
    "postgresql": {"lock": 2, "create": 5, "first good ping": 12, "close": 8, "credit": 6, "charges": 8},
}
#: Rows that the database returns, or locks.
ROWS = 50
#: Entries of tables and indexes that are read beyond those beside ten: dead entries of an index, and a whole batch of
#: charges, each of which is added to its day. On SQLite, hundreds of its machine's instructions.
SLACK = 300


@dataclass(frozen=True)
class Cost:
    statements: int
    rows: int
    read: int


Costs = Mapping[str, Cost]


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def few_and_many(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Costs, Costs]]:
    """Return the cost of each step beside ten and beside many sessions that run."""
    if request.param == "postgresql":
        with request.getfixturevalue("postgres").fresh_database() as url:
            yield _both(Stage(url, plans={LARGE.name: LARGE}))
        return
    path = tmp_path_factory.mktemp("large") / "large.db"
    path.write_bytes(request.getfixturevalue("migrated_sqlite").read_bytes())
    yield _both(Stage(f"sqlite:///{path}", plans={LARGE.name: LARGE}))


@pytest.mark.timeout(600)
def test_every_step_is_as_many_statements(
    few_and_many: tuple[Costs, Costs], request: pytest.FixtureRequest
) -> None:
    _, many = few_and_many
    assert {name: cost.statements for name, cost in many.items()} == _statements(request)


@pytest.mark.timeout(600)
def test_few_sessions_cost_no_statement_more(
    few_and_many: tuple[Costs, Costs], request: pytest.FixtureRequest
) -> None:
    few, _ = few_and_many
    assert {name: n for name, n in _statements(request).items() if few[name].statements > n} == {}


@pytest.mark.timeout(600)
def test_every_step_is_handed_few_rows(few_and_many: tuple[Costs, Costs]) -> None:
    dear = {name: cost.rows for costs in few_and_many for name, cost in costs.items() if cost.rows > ROWS}
    assert dear == {}


@pytest.mark.timeout(600)
def test_every_step_reads_as_much_beside_many_as_beside_few(few_and_many: tuple[Costs, Costs]) -> None:
    few, many = few_and_many
    dear = {name: (few[name], many[name]) for name in few if many[name].read > few[name].read + SLACK}
    assert dear == {}


def _statements(request: pytest.FixtureRequest) -> Mapping[str, int]:
    return STATEMENTS[request.node.callspec.params["few_and_many"]]


def _both(stage: Stage) -> tuple[Costs, Costs]:
    stage.reset()
    stage.open_account("acme", LARGE.name, "100000000")
    stage.done("session.create", account_id="acme", model_id="llama", session_id="one")
    stage.settle()
    _multiply(stage, FEW - 1, first=1)
    with _reading(stage.services.database) as read:
        _costs(stage, "first", read)  # what is done only once is done
        few = _costs(stage, "few", read)
        _multiply(stage, MANY, first=FEW)
        _costs(stage, "larger", read)  # the account turns large
        many = _costs(stage, "many", read)
    stage.close()
    return few, many


def _multiply(stage: Stage, times: int, *, first: int) -> None:
    """Multiply the running session `one`. Its copies have pings far in the future."""
    numbered = range(first, first + times)
    own = {"id": "'one-' || k", "name": "'one-' || k", "next_step_at": "stop_at"}
    placed = {"session_id": "'one-' || k", "id": "id || '-' || k", "handle": "id || '-' || k"}
    with stage.services.database.engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SET LOCAL statement_timeout = 0"))
        copy(connection, table_of("sessions"), own, "id", "one", numbered)
        copy(connection, table_of("placements"), placed, "session_id", "one", numbered)
    analyse(stage)


def _steps(stage: Stage, name: str) -> Iterator[tuple[str, Callable[[], Any]]]:
    services = stage.services
    ping_due(services)  # the earlier sessions are pinged apart, and their provider has just been reached
    yield "lock", lambda: services.database.transact(lambda tx: on_account(services, tx, "acme"))
    new = {"session_id": name, "name": name}
    yield "create", lambda: stage.done("session.create", account_id="acme", model_id="llama", **new)
    open_due(services)
    yield "first good ping", lambda: ping_due(services)
    yield "close", lambda: stage.done("session.close", session_id=name)
    paid = {"account_id": "acme", "currency": "USD", "key": name}
    yield "credit", lambda: stage.done("account.credit", amount="1", **paid)
    stage.jump(HOUR)
    yield "charges", lambda: post_charges(services)


def _costs(stage: Stage, name: str, read: Callable[[], int]) -> Costs:
    costs = {}
    for step, work in _steps(stage, name):
        before = read()
        with _executed(stage.services.database) as executed:
            work()
        costs[step] = Cost(statements=len(executed), rows=sum(executed), read=read() - before)
    return costs


@contextmanager
def _executed(database: Database) -> Iterator[list[int]]:
    """Yield the row counts of all statements; SQLite has none."""
    seen: list[int] = []

    def note(_c: Connection, cursor: Any, statement: str, *_: Any) -> None:
        if not statement.startswith("BEGIN"):
            handed_over = "SELECT" in statement and not statement.startswith(
                "INSERT"
            )  # which counts what it wrote
            seen.append(max(0, cursor.rowcount) if handed_over else 0)

    event.listen(database.engine, "after_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(database.engine, "after_cursor_execute", note)


@contextmanager
def _reading(database: Database) -> Iterator[Callable[[], int]]:
    if not is_sqlite(database):
        with counting(database) as read:
            yield read
        return
    hundreds = [0]

    def tick() -> None:
        hundreds[0] += 1

    def count(connection: Connection, *_: Any) -> None:
        connection.connection.driver_connection.set_progress_handler(tick, 100)  # type: ignore[union-attr]

    event.listen(database.engine, "before_cursor_execute", count)
    try:
        yield lambda: hundreds[0]
    finally:
        event.remove(database.engine, "before_cursor_execute", count)
