"""An account that others hold: only a bounded number of threads wait for it, and other accounts' work continues."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from threading import Event
from typing import Any

import pytest

from orchestrator.flows.engine.crowd import AccountBusy, Crowd
from orchestrator.flows.engine.pipeline import Pipeline
from orchestrator.flows.engine.services import Services
from orchestrator.flows.jobs.perform import perform
from orchestrator.flows.steps.close_due import CLOSE
from orchestrator.flows.steps.ping.ping_due import ping_due
from orchestrator.flows.steps.stop_due import stop_due
from orchestrator.rules.states import PlacementState, State, StopReason
from orchestrator.rules.values import Verdict
from orchestrator.store.transaction import Transaction
from tests.due import token_of
from tests.flows.conftest import MakeWorld, _worlds
from tests.store.stage import meanwhile, wait_until_blocked
from tests.waiting import WAIT_LIMIT, eventually
from tests.world import MINUTE, SECOND, World

pytestmark = pytest.mark.slow

CREDIT = {"amount": "1", "currency": "USD"}


@pytest.fixture
def pg_world(postgres_url: str) -> Iterator[MakeWorld]:
    """Return a world on PostgreSQL, which locks rows one by one."""
    with _worlds(postgres_url) as make:
        yield make


def crowded(world: World) -> Services:
    """Return another worker, in which one thread may wait for an account, and two in all."""
    return replace(world.another_worker(), crowd=Crowd(1, 2))


@contextmanager
def held(world: World, account_id: str = "acme") -> Iterator[Callable[[], None]]:
    """Hold the account in another thread, until the end or until released."""
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


def test_jobs_stand_in_line_and_hold_nothing() -> None:
    crowd = Crowd(1, 2, lines=(2, 3))
    inside, leave = Event(), Event()

    def stand() -> None:
        with crowd.turn("a"), crowd.waits_for("a"):
            inside.set()
            assert leave.wait(WAIT_LIMIT)

    crowd.comes_to("a")
    with (
        crowd.waits_for("a"),
        meanwhile(stand) as first,
    ):  # one that came before there was a queue, and the first of it
        assert inside.wait(WAIT_LIMIT)
        with pytest.raises(AccountBusy):
            crowd.comes_to("a")
        crowd.comes_to("b")
        with crowd.turn("b"), pytest.raises(AccountBusy), crowd.waits_for("b"):
            pass  # two wait in all
        with meanwhile(stand) as second:
            eventually(lambda: lined(crowd, "a") == 2, "the second stands in line")
            with pytest.raises(AccountBusy), crowd.turn("a"):
                pass
            leave.set()
            second.result(WAIT_LIMIT)
        first.result(WAIT_LIMIT)
    crowd.comes_to("a")


def lined(crowd: Crowd, account_id: str) -> int:
    return crowd._lined._of[account_id]


def test_a_job_leaves_a_line_that_does_not_move(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.flows.engine.crowd.TURN_WITHIN", 0.01)
    crowd = Crowd(1, 2, lines=(2, 3))

    def stand() -> None:
        with crowd.turn("a"):
            pass

    with crowd.turn("a"), meanwhile(stand) as second, pytest.raises(AccountBusy):
        second.result(WAIT_LIMIT)


def test_a_burst_of_jobs_of_a_held_account_waits_in_line_and_is_done(pg_world: MakeWorld) -> None:
    world = pg_world()
    of_others(world)
    worker = replace(world.another_worker(), crowd=Crowd(1, 2, lines=(8, 8)))
    with held(world) as let_go, ThreadPoolExecutor(8) as threads:
        jobs = [threads.submit(credit, worker, "acme", str(n)) for n in range(8)]
        wait_until_blocked(world.services.database)
        assert credit(worker, "other", "mine")["ok"]
        let_go()
        assert [job.result(WAIT_LIMIT)["ok"] for job in jobs] == [True] * 8


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
        assert first.result(WAIT_LIMIT)["ok"]
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
        assert waits.result(WAIT_LIMIT)["ok"]


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
        assert settled.wait(WAIT_LIMIT)
        assert worker.slots.held() == 3
        let_go()
    assert pipeline.wait(WAIT_LIMIT) == 0
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
        assert waits.result(WAIT_LIMIT)["ok"]
    session = world.session(session_id)
    assert (token_of(session), session.last_verdict) == (None, Verdict.ALIVE)
    world.pass_time(5 * SECOND)
    assert world.session(session_id).last_verdict is Verdict.THROTTLED
