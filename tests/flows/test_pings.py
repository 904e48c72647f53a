"""The verdicts of pings, and their effects."""

from datetime import timedelta
from typing import Any

import pytest

from orchestrator.flows.steps.ping.send_pings import Pinged
from orchestrator.rules.states import State, StopReason
from orchestrator.rules.values import Policy, Verdict
from tests.flows.conftest import MakeWorld
from tests.flows.hands import Hands
from tests.world import MINUTE, SECOND, START, World


def _pinged_at(world: World, upstream: str = "alpha") -> list[int]:
    """Return the seconds since the start of each chat that the upstream received."""
    calls = world.server.log(upstream=upstream, operation="chat")
    return [round(call.began_at - START.timestamp()) for call in calls]


def test_a_healthy_session_is_pinged_at_its_interval(world: World) -> None:
    world.run_session()
    world.pass_time(2 * MINUTE)
    assert _pinged_at(world) == [0, 30, 60, 90, 120]


def test_a_suspect_session_is_pinged_faster_and_dies_by_both_thresholds(world: World) -> None:
    session_id = world.run_session()
    world.server.fault("dead", operation="chat")
    world.pass_time(3 * MINUTE)
    assert _pinged_at(world) == [0, 30, 31, 33, 37, 45, 61, 91], "three failures, and a minute of them"
    session = world.session(session_id)
    assert (session.state, session.stop_reason) == (State.STOPPED, StopReason.DEAD)
    assert session.stopped_at == START + timedelta(seconds=91)
    assert "7 failed pings in a row over 61 s" in (session.stop_detail or "")


def test_a_session_recovers_from_its_doubts(world: World) -> None:
    session_id = world.run_session()
    world.server.fault("dead", operation="chat", times=4)
    world.pass_time(2 * MINUTE)
    session = world.session(session_id)
    assert (session.state, session.failures, session.failing_since) == (State.RUNNING, 0, None)
    assert world.events(session_id)[-2:] == ["suspect", "recovered"]


def test_one_failure_kills_where_the_operator_wants_it(make_world: MakeWorld) -> None:
    world = make_world(policy=Policy(dead_after_failures=1, dead_after_seconds=0))
    session_id = world.run_session()
    world.server.fault("error_before", operation="chat", times=1)
    world.pass_time(MINUTE)
    assert world.session(session_id).stop_reason is StopReason.DEAD
    assert world.session(session_id).stopped_at == START + 30 * SECOND


@pytest.mark.parametrize(("sights", "state"), [(1, State.RUNNING), (2, State.STOPPED)])
def test_gone_is_believed_when_it_is_said_twice(world: World, sights: int, state: State) -> None:
    session_id = world.run_session()
    world.server.fault("gone", operation="chat", times=sights)
    world.pass_time(MINUTE)
    assert _pinged_at(world)[:3] == [0, 30, 31]
    assert world.session(session_id).state is state


@pytest.mark.parametrize(
    ("how", "reason", "said"),
    [
        ("forgotten", StopReason.DEAD, "session not found"),
        ("expired", StopReason.PROVIDER_ENDED, "session expired"),
    ],
)
def test_before_its_declared_end_a_session_that_is_gone_is_dead_unless_it_is_said_to_have_expired(
    how: str, reason: StopReason, said: str, world: World
) -> None:
    session_id = world.run_session("moral")
    world.server.end_session(world.server.open_sessions()[0].id, how)
    world.pass_time(2 * MINUTE)
    session = world.session(session_id)
    assert (session.state, session.stop_reason) == (State.STOPPED, reason)
    assert said in (session.stop_detail or "")
    assert world.calls("close") == 2, "closed anyway"


def test_what_has_expired_before_its_declared_end_is_moved_as_what_has_died(world: World) -> None:
    session_id = world.run_session("roam", failover=True)
    world.server.end_session(world.server.open_sessions()[0].id, "expired")
    world.pass_time(2 * MINUTE)
    session = world.session(session_id)
    assert (session.state, session.provider) == (State.RUNNING, "alpha")
    assert [one.lost_at for one in world.placements(session_id)] == [None, None], "no session died there"


def test_the_gateways_own_ping_says_expired_once_and_then_no_session(make_world: MakeWorld) -> None:
    world = make_world(options={"ping": "native"})
    session_id = world.run_session("moral")
    world.server.end_session(world.server.open_sessions()[0].id, "expired")
    world.pass_time(2 * MINUTE)
    assert world.session(session_id).stop_reason is StopReason.PROVIDER_ENDED


def test_many_that_expire_at_once_are_no_fault_of_the_provider(make_world: MakeWorld) -> None:
    world = make_world(morpheus_keys=3)
    ids = [world.run_session("moral") for _ in range(2)]
    for there in world.server.open_sessions():
        world.server.end_session(there.id, "expired")
    world.pass_time(5 * MINUTE)
    assert {world.session(one).stop_reason for one in ids} == {StopReason.PROVIDER_ENDED}


def test_a_session_whose_declared_end_has_come_was_ended_by_its_provider(make_world: MakeWorld) -> None:
    world = make_world()
    session_id = world.run_session("moral", failover=True, stop={"max_duration_seconds": 600})
    world.done("session.extend", session_id=session_id, max_duration_seconds=9000)
    world.change_policy("morph", max_placements=1)  # no candidate is left
    world.pass_time(34 * MINUTE)
    world.jump(30 * SECOND)
    world.server.end_session(world.server.open_sessions()[0].id)
    hands = Hands(world.services)
    pinged = hands.ping("morph")
    assert [one.said.probe.verdict for one in pinged if isinstance(one.said, Pinged)] == [Verdict.GONE]
    world.jump(30 * SECOND)
    hands.settle(*pinged)
    world.pass_time(2 * SECOND)
    session = world.session(session_id)
    assert (session.stop_reason, session.stopped_at) == (StopReason.PROVIDER_ENDED, START + 35 * MINUTE)


def test_a_throttled_session_lives_and_is_left_alone(world: World) -> None:
    session_id = world.run_session()
    world.server.fault("throttled", operation="chat", times=1, retry_after=120)
    world.pass_time(4 * MINUTE)
    first, throttled, again, *later = _pinged_at(world)
    assert (first, throttled) == (0, 30)
    assert 150 <= again <= 153
    assert later == [again + 30 * n for n in range(1, len(later) + 1)]
    assert world.session(session_id).state is State.RUNNING
    assert "suspect" not in world.events(session_id)


def test_a_cold_session_is_waited_for_while_it_starts(world: World) -> None:
    world.server.fault("loading", operation="chat", times=10)
    session_id = world.create_session()
    world.settle()
    assert world.session(session_id).state is State.STARTING
    world.pass_time(MINUTE)
    assert world.session(session_id).running_at == START + 50 * SECOND
    assert _pinged_at(world)[:11] == list(range(0, 55, 5))


def test_a_server_that_refuses_connections_is_waited_for_while_it_starts(world: World) -> None:
    world.server.fault("dead", operation="chat", times=12)
    session_id = world.create_session()
    world.pass_time(10 * MINUTE)
    assert world.session(session_id).state is State.RUNNING


def test_loading_later_is_borne_for_a_while(world: World) -> None:
    session_id = world.run_session()
    world.server.fault("loading", operation="chat")
    world.pass_time(20 * MINUTE)
    assert world.session(session_id).state is State.RUNNING
    world.pass_time(3 * MINUTE)
    session = world.session(session_id)
    assert (session.state, session.stop_reason) == (State.STOPPED, StopReason.DEAD)
    assert "still loading" in (session.stop_detail or "")


@pytest.mark.parametrize(
    ("fault", "verdict"),
    [
        ({"name": "unauthorized"}, Verdict.CREDENTIALS),
        ({"name": "out_of_balance"}, Verdict.OUT_OF_BALANCE),
        ({"name": "status", "status": 422, "body": {"detail": "no"}}, Verdict.MISCONFIGURED),
    ],
)
def test_an_unusable_session_is_dead_after_a_quarter_of_an_hour(
    world: World, fault: dict[str, Any], verdict: Verdict
) -> None:
    session_id = world.run_session()
    world.server.fault(**fault, operation="chat")
    world.pass_time(15 * MINUTE)
    session = world.session(session_id)
    assert (session.state, session.last_verdict, session.failures) == (State.RUNNING, verdict, 0)
    world.pass_time(MINUTE)
    session = world.session(session_id)
    assert (session.stop_reason, session.stopped_at) == (StopReason.DEAD, START + 15.5 * MINUTE)
    assert "unusable for 900 s" in (session.stop_detail or "")


def test_token_limits_fall_back_once_and_are_remembered_by_every_worker(world: World) -> None:
    world.server.fault("refuses_max_tokens", operation="chat")
    session_id = world.run_session()
    assert world.calls("chat", "alpha") == 2
    world.pass_time(MINUTE)
    assert world.calls("chat", "alpha") == 4
    assert world.placements(session_id)[0].ping_variant == "max_completion_tokens:16"
    world.jump(30 * SECOND)
    world.settle(world.another_worker())
    assert world.calls("chat", "alpha") == 5
    assert world.session(session_id).last_verdict is Verdict.ALIVE


def test_reported_successes_spare_the_pings(world: World) -> None:
    session_id = world.run_session()
    for _ in range(12):
        world.pass_time(10 * SECOND)
        world.done("session.record_interactions", batch=[{"session_id": session_id, "count": 1}])
    assert _pinged_at(world) == [0]
    world.pass_time(MINUTE)
    assert _pinged_at(world) == [0, 150, 180]


def test_failed_interactions_spare_no_ping(world: World) -> None:
    session_id = world.run_session()
    for _ in range(6):
        world.pass_time(10 * SECOND)
        batch = [{"session_id": session_id, "count": 1, "ok": False}]
        world.done("session.record_interactions", batch=batch)
    assert _pinged_at(world) == [0, 30, 60]


def test_a_ping_can_be_asked_for_now(world: World) -> None:
    session_id = world.run_session()
    world.jump(7 * SECOND)
    answered = world.done("session.ping", session_id=session_id)
    assert (answered["next_step"], answered["next_step_at"]) == ("ping", "2026-01-01T12:00:07Z")
    world.settle()
    assert _pinged_at(world) == [0, 7]
    world.done("session.close", session_id=session_id)
    assert world.refused("session.ping", session_id=session_id) == "invalid_state"


def test_two_workers_ping_a_session_once(any_world: MakeWorld) -> None:
    world = any_world()
    world.run_session()
    world.jump(30 * SECOND)
    first, second = Hands(world.services), Hands(world.another_worker())
    pinged = first.ping("alpha")
    assert second.ping("alpha") == []
    first.settle(*pinged)
    assert _pinged_at(world) == [0, 30]


def test_a_worker_that_crashed_with_a_ping_delays_it_and_nothing_else(world: World) -> None:
    session_id = world.run_session(stop={"max_duration_seconds": 60})
    other = world.run_session("moral")
    world.jump(30 * SECOND)
    crashed = Hands(world.another_worker())
    assert crashed.ping("alpha")
    assert crashed.ping("morph")
    world.pass_time(32 * SECOND)
    assert world.session(session_id).stopped_at == START + MINUTE
    world.pass_time(2 * MINUTE)
    assert _pinged_at(world, "morph")[:4] == [0, 30, 120, 150], "due again when the lease ran out"
    assert world.session(other).state is State.RUNNING


def test_a_late_ping_of_another_claim_is_dropped(world: World) -> None:
    session_id = world.run_session()
    slow, other = Hands(world.another_worker()), Hands(world.services)
    world.server.fault("gone", operation="chat", times=1)
    world.jump(30 * SECOND)
    late = slow.ping("alpha")
    world.jump(90 * SECOND)
    other.settle(*other.ping("alpha"))
    slow.settle(*late)
    assert world.session(session_id).last_verdict is Verdict.ALIVE
    assert world.session(session_id).gone_since is None


def test_a_native_ping_does_what_the_platform_documents(make_world: MakeWorld) -> None:
    world = make_world(options={"ping": "native"})
    session_id = world.run_session("moral")
    world.pass_time(10 * MINUTE)
    assert world.session(session_id).state is State.RUNNING
    assert world.calls("chat") == 0
    world.server.fault("probe_fails", operation="ping_native", times=1)
    world.pass_time(MINUTE)
    assert world.session(session_id).stop_reason is StopReason.DEAD
