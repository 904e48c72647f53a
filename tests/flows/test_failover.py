"""Sessions that move to their next placement."""

from datetime import timedelta
from decimal import Decimal

import pytest

from orchestrator.rules.sessions.stops import ASK_MARGIN_SECONDS
from orchestrator.rules.states import PlacementState, State, StopReason
from orchestrator.rules.values import Policy
from tests.flows.conftest import MakeWorld
from tests.world import HOUR, MINUTE, SECOND, START, World

pytestmark = pytest.mark.slow

DEAD_AT = START + timedelta(seconds=91)


def test_a_session_lost_by_one_provider_moves_to_another(world: World) -> None:
    session_id = world.run_session("pair", failover=True, stop={"max_duration_seconds": 3600})
    world.done("session.record_interactions", batch=[{"session_id": session_id, "count": 4}])
    world.server.fault("dead", upstream="alpha", operation="chat")
    world.pass_time(2 * MINUTE)
    session, view = world.session(session_id), world.view(session_id)
    assert (session.state, session.interactions, session.running_at) == (State.RUNNING, 4, START)
    assert (view["placement"]["n"], view["placement"]["provider"]) == (2, "beta")
    assert view["endpoint"]["secret_ref"] == "env:BETA"
    assert view["stop_detail"] is None
    assert session.stop_at == START + HOUR, "the deadline carries on"
    assert [p.state for p in world.placements(session_id)] == [PlacementState.CLOSED, PlacementState.OPEN]
    assert world.events(session_id) == ["created", "starting", "running", "suspect", "failed_over", "running"]
    world.pass_time(HOUR)
    assert world.session(session_id).stopped_at == START + HOUR


def test_without_failover_it_just_dies(world: World) -> None:
    session_id = world.run_session("pair")
    world.server.fault("dead", upstream="alpha", operation="chat")
    world.pass_time(3 * MINUTE)
    assert world.session(session_id).stop_reason is StopReason.DEAD
    assert len(world.placements(session_id)) == 1


def test_it_stays_where_there_is_no_other_place(world: World) -> None:
    session_id = world.run_session("llama", failover=True)
    world.server.fault("dead", operation="chat")
    world.pass_time(3 * MINUTE)
    session = world.session(session_id)
    assert (session.stop_reason, session.stopped_at) == (StopReason.DEAD, DEAD_AT)
    assert world.events(session_id)[-3:] == ["suspect", "stopping", "stopped"]


def test_the_old_placement_is_closed_with_proof_while_the_new_one_serves(world: World) -> None:
    session_id = world.run_session("roam", failover=True)
    [there] = world.server.open_sessions()
    world.server.fault("dead", upstream="morph", operation="chat")
    world.server.fault("close_fails", upstream="morph", key=there.key, operation="close")
    world.pass_time(3 * MINUTE)
    assert world.view(session_id)["endpoint"]["secret_ref"] == "env:ALPHA"
    view = world.view(session_id)
    assert (view["state"], view["unproven_since"] is not None) == ("running", True)
    world.done("session.close", session_id=session_id)
    world.settle()
    assert world.session(session_id).state is State.STOPPING, "the first placement is not proven closed"
    world.server.clear_faults()
    world.pass_time(10 * MINUTE)
    assert world.session(session_id).state is State.STOPPED
    states = [placement.state for placement in world.placements(session_id)]
    assert states == [PlacementState.CLOSED, PlacementState.CLOSED]


def test_time_between_two_placements_costs_nothing(world: World) -> None:
    session_id = world.run_session("pair", failover=True)
    world.server.fault("dead", upstream="alpha", operation="chat")
    world.server.fault("loading", upstream="beta", operation="chat")
    world.pass_time(10 * MINUTE)
    assert world.session(session_id).state is State.STARTING
    assert world.view(session_id)["endpoint"] is None
    assert world.session(session_id).charged == Decimal("0.04")
    world.server.clear_faults()
    world.pass_time(5 * SECOND)
    world.pass_time(20 * SECOND)
    assert world.view(session_id)["cost"] == "0.04", "of the second block 31 s were used"
    world.pass_time(10 * SECOND)
    assert world.view(session_id)["cost"] == "0.06"


def test_a_session_that_finds_no_good_placement_again_is_dead_not_failed(world: World) -> None:
    session_id = world.run_session("pair", failover=True)
    world.server.fault("dead", operation="chat")
    world.pass_time(HOUR)
    session = world.session(session_id)
    assert (session.state, session.stop_reason) == (State.STOPPED, StopReason.DEAD)
    assert session.stopped_at == DEAD_AT + 20 * MINUTE
    assert session.charged == Decimal("0.04")


def test_a_user_may_close_it_in_between(world: World) -> None:
    session_id = world.run_session("pair", failover=True)
    world.server.fault("dead", upstream="alpha", operation="chat")
    world.server.fault("loading", upstream="beta", operation="chat")
    world.pass_time(2 * MINUTE)
    world.done("session.close", session_id=session_id)
    world.settle()
    assert world.session(session_id).state is State.STOPPED
    assert world.session(session_id).stop_reason is StopReason.USER


def test_it_moves_no_more_often_than_the_policy_allows(make_world: MakeWorld) -> None:
    world = make_world(policy=Policy(max_placements=1))
    session_id = world.run_session("pair", failover=True)
    world.server.fault("dead", upstream="alpha", operation="chat")
    world.pass_time(2 * MINUTE)
    assert world.session(session_id).stop_reason is StopReason.DEAD


def test_what_was_refused_before_it_ran_counts_as_no_move(make_world: MakeWorld) -> None:
    world = make_world(policy=Policy(max_placements=3))
    world.server.fault("no_bids", operation="open")
    session_id = world.run_session("roam", failover=True)
    assert [one.provider for one in world.placements(session_id)] == ["morph", "morph", "alpha"]
    world.server.clear_faults()
    world.put_model("roam", {"alpha": "llama-3", "beta": "llama-3"})
    world.server.fault("dead", upstream="alpha", operation="chat")
    world.pass_time(2 * MINUTE)
    session = world.session(session_id)
    assert (session.state, session.provider) == (State.RUNNING, "beta")


def test_a_short_outage_now_and_then_is_forgotten_once_it_was_served_well(world: World) -> None:
    session_id = world.run_session("pair", failover=True)
    for there, left in [("beta", "alpha"), ("alpha", "beta"), ("beta", "alpha"), ("alpha", "beta")]:
        world.server.fault("dead", upstream=left, operation="chat")
        world.pass_time(3 * MINUTE)
        world.server.clear_faults()
        world.pass_time(61 * MINUTE)
        session = world.session(session_id)
        assert (session.state, session.provider) == (State.RUNNING, there)


@pytest.mark.parametrize("moves_left", [True, False])
def test_an_extension_past_the_declared_end_needs_a_move_that_is_left(
    make_world: MakeWorld, moves_left: bool
) -> None:
    world = make_world(policy=Policy(max_placements=2 if moves_left else 1))
    session_id = world.run_session("moral", failover=True, stop={"max_duration_seconds": 600})
    longer = {"session_id": session_id, "max_duration_seconds": 7200}
    if moves_left:
        world.done("session.extend", **longer)
    else:
        assert world.refused("session.extend", **longer) == "limit_exceeded"


def test_a_starting_session_is_not_extended_past_the_declared_end(world: World) -> None:
    world.server.fault("loading", upstream="morph", operation="chat")
    session_id = world.create_session("moral", stop={"max_duration_seconds": 600})
    world.settle()
    assert world.session(session_id).state is State.STARTING
    assert world.session(session_id).declared_end_at is not None
    longer = {"session_id": session_id, "max_duration_seconds": 7200}
    assert world.refused("session.extend", **longer) == "limit_exceeded"


def test_an_extension_while_it_starts_lasts_however_late_its_first_good_ping_comes(world: World) -> None:
    world.server.fault("loading", upstream="morph", operation="chat")
    session_id = world.create_session("moral", stop={"max_duration_seconds": 600})
    world.settle()
    longest = 600 + ASK_MARGIN_SECONDS
    longer = {"session_id": session_id, "max_duration_seconds": longest + 1}
    assert world.refused("session.extend", **longer) == "limit_exceeded"
    world.done("session.extend", session_id=session_id, max_duration_seconds=longest)
    world.pass_time(19 * MINUTE)
    world.server.clear_faults()
    world.pass_time(HOUR)
    session = world.session(session_id)
    assert session.stop_reason is StopReason.MAX_DURATION
    assert session.stopped_at is not None
    assert session.running_at is not None
    assert session.stopped_at - session.running_at == longest * SECOND


def test_a_session_moves_on_at_the_end_that_its_provider_declared(make_world: MakeWorld) -> None:
    world = make_world(policy=Policy(ping_interval_seconds=600))
    session_id = world.run_session("moral", failover=True, stop={"max_duration_seconds": 600})
    world.done("session.extend", session_id=session_id, max_duration_seconds=7200)
    world.pass_time(HOUR)
    session = world.session(session_id)
    assert (session.state, session.placements) == (State.RUNNING, 2)
    assert "failed_over" in world.events(session_id)
    world.pass_time(HOUR + MINUTE)
    session = world.session(session_id)
    assert (session.stop_reason, session.stopped_at) == (StopReason.MAX_DURATION, START + 2 * HOUR)


def test_a_declared_end_seen_late_was_still_the_end_of_the_first_interval(world: World) -> None:
    session_id = world.run_session("moral", failover=True, stop={"max_duration_seconds": 600})
    world.done("session.extend", session_id=session_id, max_duration_seconds=7200)
    world.jump(HOUR)
    world.settle()
    session = world.session(session_id)
    assert (session.state, session.placements) == (State.RUNNING, 2)
    assert world.view(session_id)["cost"] == "0.72", "35 minutes, and the block that begins now"


def test_it_does_not_move_on_past_its_own_deadline(world: World) -> None:
    session_id = world.run_session("moral", failover=True, stop={"max_duration_seconds": 600})
    world.done("session.extend", session_id=session_id, max_duration_seconds=3000)
    world.jump(2 * HOUR)
    world.settle()
    session = world.session(session_id)
    assert (session.state, session.stop_reason) == (State.STOPPED, StopReason.MAX_DURATION)
    assert session.stopped_at == START + 50 * MINUTE
    assert session.charged == Decimal("0.70")
    assert world.server.report().opens == 1, "nothing was opened in vain"


def test_interactions_end_the_idle_time_of_the_new_placement_only(world: World) -> None:
    session_id = world.run_session("pair", failover=True, stop={"idle_seconds": 100})
    world.server.fault("dead", upstream="alpha", operation="chat")
    world.pass_time(2 * MINUTE)
    assert world.session(session_id).state is State.RUNNING
    assert world.session(session_id).ends_at == DEAD_AT + 100 * SECOND


def test_a_move_repeats_no_warning_of_a_shortage(world: World) -> None:
    world.done("account.put", account_id="corp", plan="contract", currency="USD")
    world.done("account.credit", account_id="corp", amount="0.40", currency="USD", key="1")
    session_id = world.run_session("pair", account_id="corp", failover=True)
    world.pass_time(6 * MINUTE)
    assert world.events("corp") == ["credited", "low_balance"]
    world.server.fault("dead", upstream="alpha", operation="chat")
    world.pass_time(3 * MINUTE)
    assert world.events(session_id)[-2:] == ["failed_over", "running"]
    assert world.events("corp") == ["credited", "low_balance"]


def test_a_move_that_ends_nowhere_ends_the_shortage(world: World) -> None:
    world.done("account.put", account_id="corp", plan="contract", currency="USD")
    world.done("account.credit", account_id="corp", amount="0.40", currency="USD", key="1")
    session_id = world.run_session("pair", account_id="corp", failover=True)
    world.pass_time(6 * MINUTE)
    for upstream in ("alpha", "beta"):
        world.server.fault("dead", upstream=upstream, operation="chat")
    world.pass_time(3 * MINUTE)
    assert (world.session(session_id).state, world.account("corp").warned_seconds) == (State.STARTING, 900)
    world.done("session.close", session_id=session_id)
    assert world.account("corp").warned_seconds is None
