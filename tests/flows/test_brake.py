"""A provider is dead for good: no session is kept there, and none is charged for the time there. On both databases."""

from dataclasses import replace
from decimal import Decimal

import pytest

from orchestrator.flows.steps.post_charges import post_charges
from orchestrator.flows.upstream import brake
from orchestrator.rules.states import State, StopReason
from orchestrator.rules.values import Policy
from tests.flows.conftest import MakeWorld
from tests.world import HOUR, MINUTE, SECOND, World

pytestmark = pytest.mark.slow

SHORT = Policy(brake_max_seconds=300)


@pytest.fixture
def short(any_world: MakeWorld) -> World:
    """A brake holds for five minutes; `pair` is served by alpha, then beta."""
    world = any_world(policy=SHORT)
    world.open_account("firm", "contract", "1000")
    return world


def run_pair(world: World, **kwargs: object) -> str:
    session_id = world.create_session("pair", account_id="firm", **kwargs)
    world.settle()
    return session_id


def let_pass(world: World, minutes: int) -> None:
    """Let time pass; the slow tick checks the brakes twice a minute."""
    for _ in range(2 * minutes):
        world.pass_time(30 * SECOND)
        brake.review(world.services)


def test_those_that_may_move_on_do_and_the_others_end_after_the_hold(short: World) -> None:
    plain = [run_pair(short) for _ in range(2)]
    moving = [run_pair(short, failover=True) for _ in range(2)]
    short.server.fault("dead", upstream="alpha", operation="chat")
    let_pass(short, 4)
    assert {short.session(one).provider for one in moving} == {"beta"}
    assert {short.session(one).state for one in plain} == {State.RUNNING}
    let_pass(short, 10)
    assert {short.session(one).stop_reason for one in plain} == {StopReason.DEAD}
    assert {short.session(one).state for one in moving} == {State.RUNNING}
    assert short.events("alpha") == ["braked", "released"], "no second hold by the same sessions"
    for session_id in moving:
        assert short.events(session_id).count("failed_over") == 1


def test_after_a_hold_the_dead_cost_nothing_beyond_their_last_proof_of_life(short: World) -> None:
    sessions = [run_pair(short) for _ in range(2)]
    short.pass_time(10 * MINUTE)
    alive = {one: short.session(one).last_alive_at for one in sessions}
    short.server.fault("dead", upstream="alpha", operation="chat")
    let_pass(short, 5)
    short.jump(HOUR)
    post_charges(short.services)
    charged = {one: short.ledger_of(one) for one in sessions}
    let_pass(short, 5)
    for session_id in sessions:
        session = short.session(session_id)
        assert (session.stop_reason, session.stopped_at) == (StopReason.DEAD, alive[session_id])
        assert short.ledger_of(session_id) == session.charged < charged[session_id]
    reversals = short.ledger("firm", kind="reversal")
    assert [one.note for one in reversals] == ["charged for time after its end"] * 2
    total = sum((short.ledger_of(one) for one in sessions), Decimal(0))
    assert short.balance("firm") == Decimal(1000) - total


def test_who_moves_on_from_a_hold_does_not_pay_for_it(short: World) -> None:
    sessions = [run_pair(short, failover=True) for _ in range(2)]
    short.pass_time(10 * MINUTE)
    [before] = {short.session(one).last_alive_at for one in sessions}
    short.server.fault("dead", upstream="alpha", operation="chat")
    let_pass(short, 4)
    for session_id in sessions:
        session = short.session(session_id)
        assert before is not None
        assert session.running_at is not None
        assert session.provider == "beta"
        assert session.ran_microseconds == (before - session.running_at) // (SECOND / 1_000_000)


def test_it_ends_where_the_last_one_in_doubt_is_closed(short: World) -> None:
    sessions = [run_pair(short) for _ in range(2)]
    short.server.fault("dead", upstream="alpha", operation="chat")
    let_pass(short, 2)
    assert short.events("alpha") == ["braked"]
    for session_id in sessions:
        short.done("session.close", session_id=session_id)
    let_pass(short, 1)
    assert short.events("alpha") == ["braked", "released"]


QUICK = replace(SHORT, unusable_after_seconds=300, throttled_after_seconds=600, start_timeout_seconds=600)


@pytest.mark.parametrize(("other", "within"), [("unauthorized", 600), ("throttled", 900)])
def test_brakes_that_come_and_go_keep_nobody_without_a_proof_of_life(
    any_world: MakeWorld, other: str, within: int
) -> None:
    """The provider breaks connections and answers otherwise in turns: each time its brake begins and ends."""
    world = any_world(policy=QUICK)
    sessions = [world.run_session() for _ in range(2)]
    alive = {one: world.session(one).last_alive_at for one in sessions}
    for fault in ["dead", other] * (within // 120 + 2):
        world.server.clear_faults()
        world.server.fault(fault, upstream="alpha", operation="chat")
        let_pass(world, 1)
    assert world.events("alpha").count("braked") > 1
    for one in sessions:
        session = world.session(one)
        assert (session.stop_reason, session.stopped_at) == (StopReason.DEAD, alive[one])


def test_a_neighbour_that_fails_now_and_then_keeps_no_dead_session(any_world: MakeWorld) -> None:
    """Whenever it is about to die the neighbour fails, and a brake begins; it ends as the neighbour answers, and
    streaks start over."""
    world = any_world(policy=QUICK)
    world.put_model("other", {"alpha": "base-3"})
    dead, neighbour = world.run_session("other"), world.run_session()
    alive = world.session(dead).last_alive_at
    for _ in range(100):
        reported = world.events("alpha")
        world.server.clear_faults()
        world.server.fault("dead", upstream="alpha", operation="chat", model="base-3")
        if world.session(dead).failures and reported.count("braked") == reported.count("released"):
            world.server.fault("dead", upstream="alpha", operation="chat", model="llama-3")
        world.pass_time(10 * SECOND)
    assert world.events("alpha").count("braked") > 4
    session = world.session(dead)
    assert (session.stop_reason, session.stopped_at) == (StopReason.DEAD, alive)
    assert world.session(neighbour).state is State.RUNNING
