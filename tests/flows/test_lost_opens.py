"""Opens that are interrupted, lost or late: one session at the provider at most, and each is closed in the end."""

from dataclasses import replace

import pytest

from orchestrator.providers.port.driver import Placed
from orchestrator.rules.states import PlacementState, State, Step
from tests.flows.conftest import MakeWorld
from tests.flows.hands import Hands
from tests.world import HOUR, MINUTE, SECOND, World

RESOLVE_AFTER = 15 * MINUTE
"""Of the gateway: longer than the 600 s of the policy."""


def test_a_stop_during_an_open_waits_for_it_and_closes_at_once(world: World) -> None:
    session_id = world.create_session("moral")
    hands = Hands(world.services)
    answer, _ = hands.opened(hands.claim_one(Step.OPEN))
    result = world.done("session.close", session_id=session_id)
    assert result["state"] == "stopping"
    world.pass_time(5 * MINUTE)
    assert len(world.server.open_sessions()) == 1, "no close overtakes the open"
    hands.settle(answer)
    world.settle()
    assert world.session(session_id).state is State.STOPPED
    assert not world.server.open_sessions()
    assert world.events(session_id) == ["created", "starting", "stopping", "stopped"]


def test_a_stop_during_an_open_that_is_refused_leaves_nothing_to_close(world: World) -> None:
    session_id = world.create_session("moral")
    hands = Hands(world.services)
    world.server.fault("no_bids", operation="open")
    answer = hands.act(hands.claim_one(Step.OPEN))
    world.done("session.close", session_id=session_id)
    hands.settle(answer)
    assert world.session(session_id).state is State.STOPPED
    assert len(world.placements(session_id)) == 1, "the next credential is not tried"


@pytest.mark.parametrize("lost", ["cut_before_effect", "cut_after_effect", "cut_in_body"])
def test_a_lost_answer_is_found_by_repeating_the_open(world: World, lost: str) -> None:
    world.server.fault(lost, operation="open", times=1)
    session_id = world.create_session("moral")
    world.settle()
    [placement] = world.placements(session_id)
    assert placement.state is PlacementState.UNKNOWN
    world.pass_time(RESOLVE_AFTER - SECOND)
    assert world.calls("open") == 1, "not before its effect must show"
    world.pass_time(SECOND)
    assert world.session(session_id).state is State.RUNNING
    assert (world.calls("open"), world.server.report().opens) == (2, 1)
    [open_there] = world.server.open_sessions()
    assert world.placements(session_id)[0].handle == open_there.id


@pytest.mark.parametrize("lost", ["cut_before_effect", "cut_after_effect"])
def test_a_stop_after_a_lost_answer_closes_instead_of_repeating(world: World, lost: str) -> None:
    world.server.fault(lost, operation="open", times=1)
    session_id = world.create_session("moral")
    world.settle()
    result = world.done("session.close", session_id=session_id)
    assert result["state"] == "stopping"
    world.pass_time(RESOLVE_AFTER)
    assert world.calls("open") == 1
    assert world.session(session_id).state is State.STOPPED
    assert not world.server.open_sessions()


def test_a_resolve_that_cannot_close_is_unproven_and_our_debt(world: World) -> None:
    world.server.fault("cut_after_effect", operation="open", times=1)
    session_id = world.create_session("moral")
    world.settle()
    world.done("session.close", session_id=session_id)
    world.server.fault("close_fails", operation="close")
    world.pass_time(RESOLVE_AFTER)
    view = world.view(session_id)
    assert (view["state"], view["money_at_risk"]) == ("stopping", "0.30")
    assert "unproven" in world.events(session_id)
    others = [world.create_session(), world.create_session(on_quota="queue")]
    world.pass_time(11 * MINUTE)
    world.wake_queues()
    assert [world.session(other).state for other in others] == [State.RUNNING, State.RUNNING]
    world.server.clear_faults()
    world.pass_time(10 * MINUTE)
    assert world.session(session_id).state is State.STOPPED


@pytest.mark.parametrize("sent", [True, False])
def test_a_worker_that_crashed_with_an_open_is_followed_by_a_resolve(world: World, sent: bool) -> None:
    session_id = world.create_session("moral")
    crashed = Hands(world.another_worker())
    claimed = crashed.claim_one(Step.OPEN)
    if sent:
        crashed.act(claimed)
    world.pass_time(RESOLVE_AFTER - SECOND)
    assert world.calls("open") == int(sent)
    world.pass_time(SECOND)
    assert world.session(session_id).state is State.RUNNING
    assert world.server.report().opens == 1


def test_always_on_endpoints_are_resolved_after_their_own_time(world: World) -> None:
    session_id = world.create_session("llama")
    Hands(world.another_worker()).claim_one(Step.OPEN)
    world.pass_time(10 * MINUTE - SECOND)
    assert world.session(session_id).state is State.STARTING
    world.pass_time(SECOND)
    assert world.session(session_id).state is State.RUNNING


def test_a_late_answer_with_the_same_handle_doubles_nothing(world: World) -> None:
    session_id = world.create_session("moral")
    slow = Hands(world.another_worker())
    answer, handle = slow.opened(slow.claim_one(Step.OPEN))
    world.pass_time(RESOLVE_AFTER)
    before = world.placements(session_id)
    slow.settle(answer)
    assert world.placements(session_id) == before
    assert (before[0].handle, world.server.report().opens) == (handle, 1)
    assert world.events("morph") == []


def test_a_late_answer_during_the_resolve_becomes_its_candidate(world: World) -> None:
    session_id = world.create_session("moral")
    slow, other = Hands(world.another_worker()), Hands(world.services)
    answer, handle = slow.opened(slow.claim_one(Step.OPEN))
    world.jump(RESOLVE_AFTER)
    resolving = other.claim_one(Step.RESOLVE)
    slow.settle(answer)
    [placement] = world.placements(session_id)
    assert (placement.state, placement.candidate, placement.handle) == (PlacementState.OPENING, handle, None)
    other.settle(other.act(resolving))
    world.settle()
    [placement] = world.placements(session_id)
    assert (placement.state, placement.candidate, placement.handle) == (PlacementState.OPEN, None, handle)
    assert world.session(session_id).state is State.RUNNING


def test_a_late_answer_with_another_handle_is_an_orphan_that_no_close_by_key_hits(world: World) -> None:
    session_id = world.create_session("moral", stop={"max_duration_seconds": 600})
    slow = Hands(world.another_worker())
    answer, handle = slow.opened(slow.claim_one(Step.OPEN))
    world.pass_time(RESOLVE_AFTER)
    closes = world.calls("close")
    assert isinstance(answer.said, Placed)
    slow.settle(replace(answer, said=replace(answer.said, handle="0xelsewhere")))
    assert world.events("morph") == ["orphan_found"]
    world.pass_time(5 * MINUTE)
    assert world.calls("close") == closes
    assert world.session(session_id).state is State.RUNNING
    assert world.placements(session_id)[0].handle == handle
    world.pass_time(HOUR)
    assert world.session(session_id).state is State.STOPPED
    assert world.calls("close") == closes + 1, "only its own"
    assert world.events("morph") == ["orphan_found", "orphan_closed"]


def test_the_late_handle_of_an_open_that_was_given_up_is_kept_as_an_orphan(make_world: MakeWorld) -> None:
    world = make_world(leaked=1)
    session_id = world.create_session("moral")
    slow = Hands(world.another_worker())
    claimed = slow.claim_one(Step.OPEN)
    world.done("session.close", session_id=session_id)
    world.pass_time(RESOLVE_AFTER)
    assert world.session(session_id).state is State.STOPPED
    late = slow.act_all_the_same(claimed)  # it slept past its lease, and still sent its request
    slow.settle(late)
    assert world.events("morph") == ["orphan_found"]
    assert world.session(session_id).state is State.STOPPED


def test_an_answer_that_names_a_handle_of_another_session_is_not_believed(world: World) -> None:
    first = world.run_session("moral")
    [handle] = [session.id for session in world.server.open_sessions()]
    world.server.fault("wrong_id", operation="open", session_id=handle)
    second = world.create_session("moral")
    world.settle()
    assert world.placements(second)[0].state is PlacementState.UNKNOWN
    assert world.session(first).state is State.RUNNING
    world.server.clear_faults()
    world.pass_time(RESOLVE_AFTER)
    assert world.session(second).state is State.RUNNING
    assert len({session.id for session in world.server.open_sessions()}) == 2
