"""Many stops of one account: in batches, in their order, without delay for another account."""

import logging
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from orchestrator.flows.engine import crowd
from orchestrator.flows.lifecycle import overdue
from orchestrator.flows.steps.stop_due import stop_due
from orchestrator.rules.sessions import stops
from orchestrator.rules.states import State, StopReason
from orchestrator.store.transaction import Transaction
from tests.flows.conftest import MakeWorld, _worlds
from tests.store.stage import statements
from tests.world import MINUTE, SECOND, START, World

pytestmark = pytest.mark.slow

MANY, BATCH = 11, 4
#: Statements that stop sessions of any number of accounts: the look for them, and one transaction.
AT_MOST = 14


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crowd, "STOPS_AT_ONCE", BATCH)


def run_many(world: World) -> list[str]:
    """Run sessions of acme with stops a second apart, in the order of these."""
    world.done("account.put", account_id="acme", plan="contract", currency="USD")
    return [world.run_session(stop={"max_duration_seconds": 60 + n}) for n in range(MANY)]


def run_elsewhere(world: World) -> str:
    world.done("account.put", account_id="other", plan="contract", currency="USD")
    world.done("account.credit", account_id="other", amount="10", currency="USD", key="other's first")
    return world.run_session(account_id="other", stop={"max_duration_seconds": 90})


def stopped_in_order(world: World) -> list[str]:
    with world.services.database.reading() as tx:
        rows = tx.connection.execute(
            text("SELECT subject FROM outbox WHERE type = 'orchestrator.session.stopping' ORDER BY seq")
        )
        return [row.subject for row in rows]


@pytest.mark.usefixtures("small_batches")
def test_one_account_with_many_lets_another_through(any_world: MakeWorld) -> None:
    world = any_world()
    many, other = run_many(world), run_elsewhere(world)
    world.jump(5 * MINUTE)
    stop_due(world.services)
    order = stopped_in_order(world)
    assert [one for one in order if one != other] == many
    assert order.index(other) == BATCH
    for n, session_id in enumerate(many):
        assert world.session(session_id).stopped_at == START + timedelta(seconds=60 + n)


@pytest.mark.usefixtures("small_batches")
@pytest.mark.parametrize("job", ["session.create", "account.credit", "session.extend"])
def test_a_job_comes_after_all_of_them(any_world: MakeWorld, job: str) -> None:
    world = any_world()
    many = run_many(world)
    kept = world.run_session()
    world.jump(5 * MINUTE)
    given: dict[str, dict[str, Any]] = {
        "session.create": {"account_id": "acme", "model_id": "llama"},
        "account.credit": {"account_id": "acme", "amount": "1", "currency": "USD", "key": "late"},
        "session.extend": {"session_id": kept, "max_duration_seconds": 7200},
    }
    world.done(job, **given[job])
    assert stopped_in_order(world) == many
    assert {world.session(one).stop_reason for one in many} == {StopReason.MAX_DURATION}


@pytest.mark.usefixtures("small_batches")
def test_many_that_a_new_policy_lets_go_on_hide_no_stop_behind_them(any_world: MakeWorld) -> None:
    world = any_world()
    world.done("account.put", account_id="acme", plan="contract", currency="USD")
    stops = world.run_session(stop={"max_duration_seconds": 1500})
    world.server.fault("loading", upstream="alpha", operation="chat")
    starting = [world.create_session("llama") for _ in range(2 * BATCH + 3)]
    world.settle()
    world.change_policy("alpha", start_timeout_seconds=7200)
    world.jump(1600 * SECOND)
    world.done("account.credit", account_id="acme", amount="1", currency="USD", key="late")
    assert world.session(stops).stop_reason is StopReason.MAX_DURATION
    assert {world.session(one).state for one in starting} == {State.STARTING}
    assert {world.session(one).stop_at for one in starting} == {START + timedelta(seconds=7200)}


@pytest.mark.usefixtures("small_batches")
def test_an_answer_is_settled_after_all_of_them(world: World) -> None:
    many = run_many(world)
    started = world.create_session("llama")
    world.jump(5 * MINUTE)
    world.settle()
    assert set(stopped_in_order(world)) == set(many)
    assert world.session(started).state is State.RUNNING


def test_each_is_judged_a_few_times_however_many_are_due(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = run_many(world)
    judged, real = [0], stops.next_stop

    def counting(*given: Any) -> stops.Forecast:
        judged[0] += 1
        return real(*given)

    monkeypatch.setattr(overdue, "next_stop", counting)
    world.jump(5 * MINUTE)
    stop_due(world.services)
    assert stopped_in_order(world) == many
    assert judged[0] <= 3 * len(many)


def test_a_row_that_cannot_be_read_holds_up_its_own_account_only(
    any_world: MakeWorld, caplog: pytest.LogCaptureFixture
) -> None:
    world = any_world()
    many, other = run_many(world), run_elsewhere(world)
    garble(world, many[0], "'[7]'")
    for _ in range(20):
        world.jump(6 * SECOND)
        stop_due(world.services)
    assert stopped_in_order(world) == [other]
    assert world.session(other).stopped_at is not None
    reported = [one.getMessage() for one in caplog.records if one.levelno == logging.ERROR]
    assert 2 <= len(reported) <= 4, "each time that it is tried again"
    assert all("acme" in one for one in reported)
    garble(world, many[0], "NULL")
    world.jump(31 * SECOND)
    stop_due(world.services)
    assert stopped_in_order(world) == [other, *many]
    assert world.session(many[0]).stopped_at == START + MINUTE


def garble(world: World, session_id: str, value: str) -> None:
    def change(tx: Transaction) -> None:
        tx.connection.execute(text(f"UPDATE sessions SET attach = {value} WHERE id = '{session_id}'"))

    world.services.database.transact(change)


@pytest.mark.parametrize("number", [3, 12])
def test_stops_of_many_accounts_take_as_many_statements_as_those_of_few(
    postgres_url: str, number: int
) -> None:
    with _worlds(postgres_url) as make:
        world = make()
        sessions = one_each(world, number)
        world.jump(2 * MINUTE)
        with statements(world.services.database) as seen:
            stop_due(world.services)
        assert len(seen) <= AT_MOST, [statement for statement, _ in seen]
        assert {world.session(one).stopped_at for one in sessions} == {START + MINUTE}


def one_each(world: World, number: int) -> list[str]:
    """Run a session in each of this many accounts, all with the same deadline."""
    sessions = []
    for n in range(number):
        account_id = f"account-{n}"
        world.done("account.put", account_id=account_id, plan="contract", currency="USD")
        world.done("account.credit", account_id=account_id, amount="9", currency="USD", key="first")
        sessions.append(world.create_session(account_id=account_id, stop={"max_duration_seconds": 60}))
    world.settle()
    return sessions


def test_a_held_account_keeps_its_stops_and_the_others_lose_no_time(postgres_url: str) -> None:
    with _worlds(postgres_url) as make:
        world = make()
        held, *others = one_each(world, 3)
        world.jump(2 * MINUTE)
        with world.services.database.engine.connect() as other:
            Transaction(other, world.clock).accounts.lock(world.session(held).account_id)
            stop_due(world.services)
            assert {world.session(one).stopped_at for one in others} == {START + MINUTE}
            assert world.session(held).state is State.RUNNING
            other.rollback()
        stop_due(world.services)
        assert world.session(held).stopped_at == START + MINUTE
