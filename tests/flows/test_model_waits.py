"""A Retry-After holds for one model under one key, and delays the pings of other sessions only briefly."""

from datetime import timedelta

import pytest

from orchestrator.flows.reports.explain import explain
from orchestrator.flows.upstream.credentials import retry_paused
from orchestrator.rules.states import State, StopReason
from orchestrator.rules.values import Plan
from tests.flows.conftest import MakeWorld
from tests.world import HOUR, MINUTE, SECOND, START, World

pytestmark = pytest.mark.slow

OPEN_ENDED = {"payg": Plan(name="payg")}
OF_KEY = "Rate limit exceeded for this API key"


def _beside(any_world: MakeWorld) -> World:
    """Return a world with one shared key at alpha, and two models under it."""
    world = any_world(plans=OPEN_ENDED)
    world.put_model("other", {"alpha": "base-3"})
    return world


def _pinged_at(world: World, model: str) -> list[float]:
    calls = world.server.log(upstream="alpha", operation="chat")
    return [call.began_at - START.timestamp() for call in calls if call.model == model]


def test_a_throttled_model_takes_nothing_from_another_under_its_key(any_world: MakeWorld) -> None:
    """For a long time: no session of another model is refused, its pings continue, and its death is seen in time."""
    world = _beside(any_world)
    throttled, healthy = world.run_session(), world.run_session("other")
    world.server.fault("throttled", operation="chat", model="llama-3", retry_after=300)
    for _ in range(50):
        world.pass_time(MINUTE)
        world.done("session.close", session_id=world.create_session("other"))
    pings = [at for at in _pinged_at(world, "base-3") if at % 30 == 0]
    assert len(set(pings)) == 101
    assert world.session(throttled).state is State.RUNNING
    world.server.fault("dead", operation="chat", model="base-3")
    world.pass_time(100 * SECOND)
    assert world.session(healthy).stop_reason is StopReason.DEAD


def test_new_sessions_of_the_model_wait_and_those_of_another_do_not(any_world: MakeWorld) -> None:
    world = _beside(any_world)
    world.run_session()
    world.server.fault("throttled", operation="chat", model="llama-3", times=1, retry_after=120)
    world.pass_time(31 * SECOND)
    assert world.refused("session.create", account_id="acme", model_id="llama") == "no_capacity"
    waiting = world.create_session("llama", on_quota="queue")
    session_id = world.run_session("other")
    assert world.session(session_id).state is State.RUNNING
    world.pass_time(115 * SECOND)
    assert world.session(waiting).state is State.QUEUED
    world.pass_time(10 * SECOND)
    assert world.session(waiting).state is State.RUNNING


def test_a_waiter_whose_model_must_wait_holds_up_no_other_model_of_its_account(any_world: MakeWorld) -> None:
    """A key that serves one session is given to another model, and a waiter that can take it is woken."""
    world = any_world(morpheus_keys=1, plans=OPEN_ENDED)
    world.put_model("other", {"morph": "moral-2"})
    holder = world.run_session("moral")
    until = world.clock.now + 2 * MINUTE
    world.services.database.transact(
        lambda tx: tx.rate_limits.limit_model("morph", "env:MORPH_1", "moral", until)
    )
    waits = world.create_session("moral", on_quota="queue")
    world.jump(SECOND)
    fit = world.create_session("other", on_quota="queue")
    assert [world.session(one).state for one in (waits, fit)] == [State.QUEUED, State.QUEUED]
    world.done("session.close", session_id=holder, reason="operator", confirm=True)
    world.settle()
    assert [world.session(one).state for one in (waits, fit)] == [State.QUEUED, State.RUNNING]
    world.done("session.close", session_id=fit, reason="operator", confirm=True)
    world.pass_time(2 * MINUTE + 5 * SECOND)
    assert world.session(waits).state is State.RUNNING, "it woke by itself"


def test_where_the_key_as_a_whole_must_wait_no_model_starts_there(any_world: MakeWorld) -> None:
    world = _beside(any_world)
    world.run_session()
    world.server.fault("throttled", operation="chat", model="llama-3", times=1, retry_after=120, text=OF_KEY)
    world.pass_time(31 * SECOND)
    for model in ("llama", "other"):
        assert world.refused("session.create", account_id="acme", model_id=model) == "no_capacity"
    world.pass_time(125 * SECOND)
    session_id = world.run_session("other")
    assert world.session(session_id).state is State.RUNNING


@pytest.mark.parametrize("text", ["slow down", OF_KEY])
def test_nobody_is_unpinged_for_long_as_others_were_asked_to_wait(any_world: MakeWorld, text: str) -> None:
    """Each ten minutes another session gets a Retry-After of five."""
    world = _beside(any_world)
    reported, other = world.run_session(), world.run_session()
    longest = timedelta(0)
    for _ in range(6):
        world.server.fault("throttled", operation="chat", times=1, retry_after=300, text=text)
        for _ in range(60):
            world.pass_time(10 * SECOND)
            pinged = [world.session(one).last_ping_at or START for one in (reported, other)]
            longest = max(longest, world.clock.now - max(pinged))
    assert longest <= 95 * SECOND


@pytest.mark.parametrize("text", ["slow down", OF_KEY])
def test_the_death_of_one_is_seen_while_another_was_asked_to_wait(any_world: MakeWorld, text: str) -> None:
    world = _beside(any_world)
    world.run_session()
    world.pass_time(15 * SECOND)
    dies = world.run_session()
    world.server.fault("throttled", operation="chat", times=1, retry_after=300, text=text)
    world.pass_time(20 * SECOND)
    world.server.fault("dead", operation="chat")
    world.pass_time(3 * MINUTE)
    assert world.session(dies).failures > 2, "what is in doubt does not wait"


def test_a_wait_is_reported_the_session_that_it_concerns(world: World) -> None:
    world.put_model("other", {"alpha": "base-3"})
    session_id, other = world.run_session(), world.run_session("other")
    world.server.fault("throttled", operation="chat", model="llama-3", times=1, retry_after=120)
    world.pass_time(31 * SECOND)
    reported = []
    with world.services.database.reading() as tx:
        for one in (session_id, other):
            session = tx.sessions.get(one)
            assert session is not None
            reported.append(explain(tx, session, world.services.policy("alpha"), tx.now())["doubts"][-1:])
    assert reported == [["llama is rate-limited under env:ALPHA until 2026-01-01T12:02:30Z"], []]


def test_a_longer_wait_of_the_model_stands(any_world: MakeWorld) -> None:
    world = _beside(any_world)
    now = world.clock.now

    def held(seconds: int) -> list[float]:
        until = now + timedelta(seconds=seconds)
        world.services.database.transact(
            lambda tx: tx.rate_limits.limit_model("alpha", "env:ALPHA", "llama", until)
        )
        with world.services.database.reading() as tx:
            return [(one.until - now).total_seconds() for one in tx.rate_limits.of_models(now, "alpha")]

    assert [held(seconds) for seconds in (60, 30, 90)] == [[60], [60], [90]]
    world.jump(HOUR)
    with world.services.database.reading() as tx:
        assert tx.rate_limits.of_models(tx.now()) == []
    kept = []
    for _ in range(2):
        retry_paused(world.services)
        with world.services.database.reading() as tx:
            kept.append(len(tx.rate_limits.of_models(now)))
        world.jump(20 * HOUR)
    assert kept == [1, 1]
    retry_paused(world.services)
    with world.services.database.reading() as tx:
        assert tx.rate_limits.of_models(now) == []
