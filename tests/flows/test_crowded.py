"""An account that others hold: as few threads wait for it as may, and nobody else's work waits with them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from threading import Event
from typing import Any

import pytest

from orchestrator.flows.close_due import CLOSE
from orchestrator.flows.crowd import AccountBusy, Crowd
from orchestrator.flows.jobs import perform
from orchestrator.flows.ping_due import ping_due
from orchestrator.flows.pipeline import Pipeline
from orchestrator.flows.services import Services
from orchestrator.flows.stop_due import stop_due
from orchestrator.rules.states import PlacementState, State, StopReason
from orchestrator.rules.values import Verdict
from orchestrator.store.unit import Transaction
from tests.flows.conftest import MakeWorld, _worlds
from tests.store.stage import PATIENCE, meanwhile, wait_until_blocked
from tests.world import MINUTE, SECOND, World

CREDIT = {"amount": "1", "currency": "USD"}


@pytest.fixture
def pg_world(postgres_url: str) -> Iterator[MakeWorld]:
    """Rows are locked there one by one."""
    with _worlds(postgres_url) as make:
        yield make


def crowded(world: World) -> Services:
    """Another worker's view, in which one thread may wait for an account, and two in all."""
    return replace(world.another_worker(), crowd=Crowd(1, 2))


@contextmanager
def held(world: World, account_id: str = "acme") -> Iterator[Callable[[], None]]:
    """Somebody else holds the account, until the end or until told to let go."""
    with world.services.database.engine.connect() as other:
        Transaction(other, world.clock).accounts.lock(account_id)
        yield other.rollback


def of_others(world: World) -> None:
    world.done("account.put", account_id="other", plan="contract", currency="USD")
    world.done("account.credit", account_id="other", key="first", **CREDIT | {"amount": "9"})


def credit(services: Services, account_id: str, key: str) -> dict[str, Any]:
    kwargs = {"account_id": account_id, "key": key, **CREDIT}
    return perform(services, f"credit-{key}", "orchestrator.account.credit", kwargs)


def test_few_wait_for_one_account_and_few_in_all() -> None:
    crowd = Crowd(1, 2)
    with crowd.waits_for("a"):
        with pytest.raises(AccountBusy), crowd.waits_for("a"):
            pass
        with crowd.waits_for("b"), pytest.raises(AccountBusy), crowd.waits_for("c"):
            pass
        with crowd.waits_for("c"):
            pass
    with crowd.waits_for("a"):
        pass


def test_one_job_waits_for_a_held_account_and_the_others_come_again(pg_world: MakeWorld) -> None:
    world = pg_world()
    of_others(world)
    worker = crowded(world)
    with held(world) as let_go, meanwhile(lambda: credit(worker, "acme", "1")) as first:
        wait_until_blocked(world.services.database)
        for key in ("2", "3"):
            with pytest.raises(AccountBusy):
                credit(worker, "acme", key)
        assert credit(worker, "other", "4")["ok"]
        let_go()
        assert first.result(PATIENCE)["ok"]
    assert credit(worker, "acme", "2")["ok"]


def test_stops_of_others_are_not_late(pg_world: MakeWorld) -> None:
    world = pg_world()
    of_others(world)
    mine = world.run_session(stop={"max_duration_seconds": 60})
    other = world.run_session(account_id="other", stop={"max_duration_seconds": 60})
    worker = crowded(world)
    world.jump(2 * MINUTE)
    with held(world) as let_go, meanwhile(lambda: credit(worker, "acme", "1")) as waits:
        wait_until_blocked(world.services.database)
        stop_due(worker)
        assert world.session(other).stop_reason is StopReason.MAX_DURATION
        assert world.session(mine).state is State.RUNNING
        let_go()
        assert waits.result(PATIENCE)["ok"]


def test_answers_of_others_are_settled_while_an_account_is_held(pg_world: MakeWorld) -> None:
    world = pg_world()
    of_others(world)
    world.done("account.put", account_id="acme", plan="contract", currency="USD")
    mine = [world.run_session() for _ in range(3)]
    other = world.run_session(account_id="other")
    for session_id in (*mine, other):
        world.done("session.close", session_id=session_id)
    world.jump(2 * SECOND)
    worker = crowded(world)
    settled = Event()
    failures: list[Exception] = []

    def look() -> None:
        if world.placements(other)[0].state is PlacementState.CLOSED:
            settled.set()

    pipeline = Pipeline(worker, CLOSE, failed=failures.append, settled=look)
    with held(world) as let_go:
        assert pipeline.claim() == 4
        assert settled.wait(PATIENCE)
        assert worker.slots.held() == 3
        let_go()
    assert pipeline.wait(PATIENCE) == 0
    pipeline.close()
    assert (worker.slots.held(), failures) == (0, [])
    assert {world.session(one).state for one in mine} == {State.STOPPED}


def test_a_ping_whose_account_is_held_is_sent_again_soon(pg_world: MakeWorld) -> None:
    world = pg_world()
    session_id = world.run_session()
    world.server.fault("throttled", upstream="alpha", operation="chat")  # a failed one needs no account
    worker = crowded(world)
    world.jump(MINUTE)
    with held(world) as let_go, meanwhile(lambda: credit(worker, "acme", "1")) as waits:
        wait_until_blocked(world.services.database)
        ping_due(worker)
        let_go()
        assert waits.result(PATIENCE)["ok"]
    session = world.session(session_id)
    assert (session.lease_token, session.last_verdict) == (None, Verdict.ALIVE)
    world.pass_time(5 * SECOND)
    assert world.session(session_id).last_verdict is Verdict.THROTTLED
