"""Closing and deleting a session, in each of its states."""

import pytest

from orchestrator.client.close_many import CloseMany
from orchestrator.flows.jobs.close_many import planned
from orchestrator.rules.states import PlacementState, State, Step, StopReason
from orchestrator.rules.values import Plan
from tests.due import due_at
from tests.flows.claiming import claim_pings
from tests.flows.conftest import MakeWorld
from tests.flows.hands import Hands
from tests.world import HOUR, MINUTE, SECOND, START, World


def test_a_session_that_never_started_just_stops(world: World) -> None:
    session_id = world.create_session(start=False)
    closed = world.done("session.close", session_id=session_id)
    assert (closed["state"], closed["stop_reason"], closed["placement"]) == ("stopped", "user", None)
    assert world.events(session_id) == ["created", "stopped"]


def test_a_queued_session_just_stops_and_lets_the_next_one_through(world: World) -> None:
    running = [world.run_session(), world.run_session()]
    first = world.create_session(on_quota="queue")
    world.jump(SECOND)
    second = world.create_session(on_quota="queue")
    assert world.view(second)["queue_position"] == 2
    result = world.done("session.close", session_id=first)
    assert result["state"] == "stopped"
    assert world.view(second)["queue_position"] == 1
    world.done("session.close", session_id=running[0])
    world.settle()
    assert world.session(second).state is State.RUNNING


@pytest.mark.parametrize("model", ["llama", "moral"])
def test_a_session_is_stopped_before_anything_was_sent(world: World, model: str) -> None:
    session_id = world.create_session(model)
    closed = world.done("session.close", session_id=session_id)
    assert closed["state"] == "stopped"
    assert [p.state for p in world.placements(session_id)] == [PlacementState.NEVER_OPENED]
    world.pass_time(MINUTE)
    assert world.calls("open") == 0
    assert world.events(session_id) == ["created", "starting", "stopped"]


def test_a_session_that_warms_up_is_closed_with_proof(world: World) -> None:
    world.server.fault("loading", operation="chat")
    session_id = world.create_session("moral")
    world.settle()
    assert world.session(session_id).state is State.STARTING
    result = world.done("session.close", session_id=session_id)
    assert result["state"] == "stopping"
    world.pass_time(2 * SECOND)
    assert world.session(session_id).state is State.STOPPED
    assert world.session(session_id).charged == 0
    assert not world.server.open_sessions()


def test_a_close_that_is_repeated_changes_nothing(world: World) -> None:
    session_id = world.run_session("moral")
    world.done("session.close", session_id=session_id, detail="the first")
    again = world.done("session.close", session_id=session_id, reason="operator", detail="the second")
    assert (again["state"], again["stop_reason"], again["stop_detail"]) == ("stopping", "user", "the first")
    world.pass_time(2 * SECOND)
    once_more = world.done("session.close", session_id=session_id)
    assert (once_more["state"], once_more["stop_detail"]) == ("stopped", "the first")
    assert world.calls("close") == 2, "one before the open, one after it"


@pytest.mark.parametrize("start", [True, False])
def test_a_deleted_session_frees_its_place_and_its_name(make_world: MakeWorld, start: bool) -> None:
    world = make_world(plans={"payg": Plan(name="payg", max_sessions=1)})
    session_id = world.create_session(name="mine", start=start)
    assert world.refused("session.create", account_id="acme", model_id="llama") == "quota_total_exceeded"
    if start:
        world.settle()
        world.pass_time(MINUTE)
        assert world.refused("session.delete", session_id=session_id) == "invalid_state"
        world.done("session.close", session_id=session_id)
        world.settle()
    result = world.done("session.delete", session_id=session_id)
    assert result["deleted_at"] is not None
    assert world.events(session_id)[-1] == "deleted"
    other = world.create_session(name="mine", start=False)
    assert other != session_id
    assert world.refused("session.delete", session_id=session_id) == "unknown_session"
    assert world.session(session_id).name == "mine", "its tombstone stays"
    assert len(world.ledger(kind="charge")) == int(start)


def test_what_never_ran_fails_and_what_ran_stops(world: World) -> None:
    world.put_model("lost", {"alpha": "no-such-model"})
    session_id = world.create_session("lost")
    world.settle()
    session = world.session(session_id)
    assert (session.state, session.stop_reason) == (State.FAILED, StopReason.START_FAILED)
    assert "no-such-model" in (session.stop_detail or "")
    assert world.events(session_id) == ["created", "starting", "failed"]


def test_an_operators_close_is_distinguished(world: World) -> None:
    session_id = world.run_session()
    world.done("session.close", session_id=session_id, reason="operator", detail="maintenance")
    world.settle()
    session = world.session(session_id)
    assert (session.stop_reason, session.stop_detail) == (StopReason.OPERATOR, "maintenance")


def test_an_operator_confirms_what_nobody_can_prove(world: World) -> None:
    session_id = world.run_session("moral")
    world.server.fault("close_fails", operation="close")
    world.done("session.close", session_id=session_id)
    world.pass_time(HOUR)
    assert world.session(session_id).state is State.STOPPING
    world.server.end_session(world.server.open_sessions()[0].id)
    confirm = {"session_id": session_id, "reason": "operator", "detail": "saw it", "confirm": True}
    closed = world.done("session.close", **confirm)
    assert (closed["state"], closed["stop_reason"]) == ("stopped", "user")
    [placement] = world.placements(session_id)
    assert placement.proof == "an operator confirmed it: saw it"
    assert world.session(session_id).stopped_at == START
    assert world.session(session_id).ended_at == START + HOUR


def test_a_confirmation_alone_stops_and_ends_a_running_session(world: World) -> None:
    session_id = world.run_session()
    confirm = {"session_id": session_id, "reason": "operator", "confirm": True}
    result = world.done("session.close", **confirm)
    assert result["state"] == "stopped"
    assert world.events(session_id)[-2:] == ["stopping", "stopped"]


def test_a_ping_that_may_be_about_to_begin_is_hidden_by_no_other(world: World) -> None:
    session_id = world.run_session("moral")
    world.jump(30 * SECOND)
    [_] = claim_pings(world.services, "morph")
    claimed_at = world.clock.now
    world.done("session.ping", session_id=session_id)  # due again, at once
    other = world.another_worker()
    assert claim_pings(other, "morph") == []
    world.done("session.close", session_id=session_id)
    [placement] = world.placements(session_id)
    assert due_at(placement) == claimed_at + 1.1 * SECOND, "no ping begins after the close"
    world.pass_time(MINUTE)
    assert world.session(session_id).state is State.STOPPED


def test_a_ping_that_was_asked_for_waits_a_second_for_the_one_under_way(world: World) -> None:
    session_id = world.run_session("moral")
    world.jump(30 * SECOND)
    [_] = claim_pings(world.services, "morph")
    world.done("session.ping", session_id=session_id)
    world.jump(1.1 * SECOND)
    [_] = claim_pings(world.another_worker(), "morph")


def test_a_close_without_proof_is_tried_again_when_it_is_asked_for_again(any_world: MakeWorld) -> None:
    world = any_world()
    session_id = world.run_session("moral")
    fault = world.server.fault("close_fails", operation="close")
    world.done("session.close", session_id=session_id)
    world.pass_time(HOUR)
    tried = world.calls("close")
    [waiting] = world.placements(session_id)
    assert waiting.due is not None
    assert waiting.due.at > world.clock.now + MINUTE
    world.server.remove_fault(fault)
    again = world.done("session.close", session_id=session_id)
    assert (again["state"], again["found_state"]) == ("stopping", "stopping")
    world.settle()
    assert world.calls("close") == tried + 1
    assert world.session(session_id).state is State.STOPPED
    assert world.session(session_id).stopped_at == START, "what was decided stays"


def test_a_close_that_is_under_way_is_not_tried_beside_itself(world: World) -> None:
    session_id = world.run_session("moral")
    world.server.fault("close_fails", operation="close")
    world.done("session.close", session_id=session_id)
    world.pass_time(10 * MINUTE)
    [waiting] = world.placements(session_id)
    assert waiting.due is not None
    world.clock.now = waiting.due.at
    hands = Hands(world.services)
    claimed = hands.claim_one(Step.CLOSE)
    before = world.placements(session_id)
    world.done("session.close", session_id=session_id)
    assert world.placements(session_id) == before
    world.jump(HOUR)
    world.server.clear_faults()
    world.settle()
    assert claimed.placement.id == waiting.id


def test_conditions_on_unproven_closes_leave_the_states_of_the_request_in_force(world: World) -> None:
    session_id = world.run_session("moral")
    world.server.fault("close_fails", operation="close")
    world.done("session.close", session_id=session_id)
    world.pass_time(30 * MINUTE)
    with world.services.database.reading() as tx:
        assert planned(tx, CloseMany(where="unproven"))["count"] == 1
        assert planned(tx, CloseMany(where="unproven", state=["running"]))["count"] == 0
