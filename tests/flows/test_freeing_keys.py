"""A key is freed before anything is opened under it: under a key not proven free nothing is opened, nor adopted."""

from typing import Any

import pytest

from orchestrator.providers.port.errors import KeyNotFree
from orchestrator.rules.states import PlacementState, State, Step, StopReason
from orchestrator.rules.values import Policy
from tests.due import step_of
from tests.flows.conftest import MakeWorld
from tests.flows.hands import Hands
from tests.world import HOUR, MINUTE, SECOND, World

pytestmark = pytest.mark.slow

#: Remaining time of a foreign or former session under the first key.
FOREIGN_SECONDS = 600


def leave_a_session(world: World, key: str, seconds: float = FOREIGN_SECONDS) -> str:
    left = world.server.simulator.sessions.open(upstream="morph", key=key, model="moral-1", seconds=seconds)
    return left.id


def handles(world: World, session_id: str) -> list[str | None]:
    return [one.handle for one in world.placements(session_id)]


@pytest.mark.parametrize("fault", ["hang", "slow"])
def test_an_open_whose_time_ends_while_its_key_is_freed_has_opened_nothing(
    fault: str, any_world: MakeWorld
) -> None:
    policy = Policy(open_timeout_seconds=0.4, close_timeout_seconds=20)
    world = any_world(policy=policy, morpheus_keys=1)
    foreign = leave_a_session(world, world.keys[0])
    params: dict[str, Any] = {"seconds": 1.0} if fault == "slow" else {}
    world.server.fault(fault, operation="close", times=1, **params)
    session_id = world.create_session("moral", stop={"max_duration_seconds": 3600})
    world.settle()
    [placement] = world.placements(session_id)
    assert (placement.state, step_of(placement)) == (PlacementState.OPENING, Step.OPEN)
    assert "the key was not free" in (placement.last_answer or "")
    assert (placement.freed_at, placement.sent_at) == (None, None)
    world.pass_time(world.services.policy("morph").credential_rest_seconds * SECOND - SECOND)
    assert world.calls("open") == 0, "the close that was sent may still come"
    world.pass_time(MINUTE)
    assert world.session(session_id).state is State.RUNNING
    assert foreign not in handles(world, session_id)
    assert foreign not in [one.id for one in world.server.open_sessions()]


def test_whoever_dies_while_it_frees_a_key_leaves_nothing_to_adopt(any_world: MakeWorld) -> None:
    world = any_world(morpheus_keys=1)
    foreign = leave_a_session(world, world.keys[0], seconds=HOUR.total_seconds())
    session_id = world.create_session("moral")
    Hands(world.services).claim_one(Step.OPEN)  # the worker dies
    world.services.slots.release(Step.OPEN, "morph")
    world.pass_time(16 * MINUTE)  # and the key rests for a while
    first, second = world.placements(session_id)
    assert (first.state, first.handle, first.freed_at) == (PlacementState.NEVER_OPENED, None, None)
    assert foreign in (first.proof or "")
    assert second.state is PlacementState.OPEN
    assert second.handle != foreign
    assert "ownership_lost" in world.events("morph"), "its owner is not known here"


def test_a_lost_answer_after_the_key_was_freed_is_adopted(world: World) -> None:
    world.server.fault("cut_after_effect", operation="open", times=1)
    session_id = world.create_session("moral")
    world.settle()
    [placement] = world.placements(session_id)
    assert (placement.state, placement.freed_at) == (PlacementState.UNKNOWN, world.clock.now)
    world.pass_time(15 * MINUTE)
    assert world.session(session_id).state is State.RUNNING
    assert world.server.report().opens == 1


def test_an_open_whose_lease_was_lost_while_it_freed_its_key_sends_nothing(world: World) -> None:
    session_id = world.create_session("moral")
    hands = Hands(world.services)
    claimed = hands.claim_one(Step.OPEN)
    world.jump(10 * MINUTE)
    answer = hands.act(claimed)
    assert "the lease was lost" in str(answer.said)
    assert world.calls("open") == 0
    hands.settle(answer)
    assert world.session(session_id).state is State.STARTING


def test_a_key_that_cannot_be_freed_gives_way_to_the_next(any_world: MakeWorld) -> None:
    world = any_world(morpheus_keys=2, leaked=1)
    leave_a_session(world, world.keys[0], seconds=HOUR.total_seconds())
    world.server.fault("close_fails", operation="close", key=world.keys[0])
    session_id = world.create_session("moral")
    world.pass_time(MINUTE)
    assert world.session(session_id).state is State.RUNNING
    assert [one.credential for one in world.placements(session_id)] == ["env:MORPH_1", "env:MORPH_2"]
    assert world.placements(session_id)[0].state is PlacementState.NEVER_OPENED


def test_the_only_key_is_tried_until_it_is_free(any_world: MakeWorld) -> None:
    world = any_world(morpheus_keys=1)
    leave_a_session(world, world.keys[0], seconds=HOUR.total_seconds())
    world.server.fault("close_fails", operation="close")
    session_id = world.create_session("moral")
    world.pass_time(5 * MINUTE)
    assert (world.session(session_id).state, world.calls("open")) == (State.STARTING, 0)
    world.server.clear_faults()
    world.pass_time(2 * MINUTE)
    assert world.session(session_id).state is State.RUNNING
    assert len(world.placements(session_id)) == 1


def test_what_a_resolve_found_and_closed_was_open(any_world: MakeWorld) -> None:
    world = any_world(morpheus_keys=1)
    world.server.fault("cut_after_effect", operation="open", times=1)
    session_id = world.create_session("moral")
    world.settle()
    [there] = world.server.open_sessions()
    world.done("session.close", session_id=session_id)
    world.pass_time(15 * MINUTE)
    session, [placement] = world.session(session_id), world.placements(session_id)
    assert (session.state, session.stop_reason) == (State.STOPPED, StopReason.USER)
    assert (placement.state, placement.handle) == (PlacementState.CLOSED, there.id)


def test_not_free_is_not_sent() -> None:
    assert not KeyNotFree("still open").late
