"""Failover with all exclusive keys in use: the dead session's own key is a candidate, once its close is proven."""

from datetime import timedelta

import pytest

from orchestrator.rules.states import PlacementState, State, StopReason
from orchestrator.rules.values import Policy
from tests.flows.conftest import MakeWorld
from tests.world import HOUR, MINUTE, SECOND, World

pytestmark = pytest.mark.slow


def dying(any_world: MakeWorld, *, keys: int = 1, leaked: int = 0, **kind: object) -> tuple[World, str]:
    """Return a world with all keys in use, and the first session, which is about to be lost."""
    world = any_world(morpheus_keys=keys, leaked=leaked, **kind)
    session_id = world.run_session("moral", failover=True, stop={"max_duration_seconds": 7200})
    for _ in range(keys - 1):
        world.run_session("moral")
    return world, session_id


def lose(world: World, session_id: str, how: str = "forgotten") -> None:
    handle = world.placements(session_id)[-1].handle
    assert handle is not None
    world.server.end_session(handle, how)


@pytest.mark.parametrize("keys", [1, 2])
@pytest.mark.parametrize("how", ["forgotten", "expired", "dead"])
def test_it_goes_on_under_the_key_that_its_own_end_frees(how: str, keys: int, any_world: MakeWorld) -> None:
    world, session_id = dying(any_world, keys=keys)
    lose(world, session_id, how)
    world.pass_time(3 * MINUTE)
    session, [first, second] = world.session(session_id), world.placements(session_id)
    assert (session.state, first.state, second.state) == (
        State.RUNNING,
        PlacementState.CLOSED,
        PlacementState.OPEN,
    )
    assert second.credential == first.credential
    assert first.ended_at is not None
    assert first.ended_at <= second.created_at, "nothing is opened before the close is proven"
    assert world.events(session_id)[-2:] == ["failed_over", "running"]


def test_while_its_close_is_not_proven_it_waits_and_pays_nothing(any_world: MakeWorld) -> None:
    world, session_id = dying(any_world)
    world.server.fault("error_before", operation="chat")
    world.server.fault("close_fails", operation="close")
    world.pass_time(5 * MINUTE)
    waiting = world.session(session_id)
    assert (waiting.state, len(world.placements(session_id))) == (State.STARTING, 1)
    paid = world.ledger_of(session_id)
    world.pass_time(5 * MINUTE)
    assert world.ledger_of(session_id) == paid
    world.server.clear_faults()
    world.pass_time(10 * MINUTE)
    assert world.session(session_id).state is State.RUNNING
    assert world.session(session_id).provider == "morph"


def test_it_waits_no_longer_than_a_start_may_take(any_world: MakeWorld) -> None:
    world, session_id = dying(any_world, policy=Policy(start_timeout_seconds=300))
    world.server.fault("error_before", operation="chat")
    world.server.fault("close_fails", operation="close")
    world.pass_time(10 * MINUTE)
    session = world.session(session_id)
    assert (session.state, session.stop_reason) == (State.STOPPING, StopReason.DEAD)
    assert session.starting_at is not None
    assert session.stopped_at == session.starting_at + timedelta(seconds=300)
    world.server.clear_faults()
    world.pass_time(HOUR)
    assert world.session(session_id).state is State.STOPPED


def test_a_user_may_close_it_while_it_waits(any_world: MakeWorld) -> None:
    world, session_id = dying(any_world)
    world.server.fault("error_before", operation="chat")
    world.server.fault("close_fails", operation="close")
    world.pass_time(5 * MINUTE)
    result = world.done("session.close", session_id=session_id)
    assert result["state"] == "stopping"
    world.server.clear_faults()
    world.pass_time(20 * MINUTE)
    session = world.session(session_id)
    assert (session.state, session.stop_reason) == (State.STOPPED, StopReason.USER)
    assert len(world.placements(session_id)) == 1


def test_a_waiter_in_the_queue_does_not_take_the_place_of_who_waits_for_its_own_end(
    any_world: MakeWorld,
) -> None:
    world, session_id = dying(any_world)
    queued = world.create_session("moral", on_quota="queue")
    world.settle()
    lose(world, session_id)
    world.pass_time(2 * MINUTE)
    assert world.session(session_id).state is State.RUNNING
    assert world.session(queued).state is State.QUEUED


def test_a_key_that_takes_no_placements_is_no_place(any_world: MakeWorld) -> None:
    world, session_id = dying(any_world)
    world.pause("morph", "env:MORPH_1")
    lose(world, session_id)
    world.pass_time(2 * MINUTE)
    session = world.session(session_id)
    assert (session.state, session.stop_reason) == (State.STOPPED, StopReason.DEAD)


def test_a_key_that_is_paused_while_it_waits_ends_it(any_world: MakeWorld) -> None:
    world, session_id = dying(any_world)
    world.server.fault("error_before", operation="chat")
    world.server.fault("close_fails", operation="close")
    world.pass_time(5 * MINUTE)
    world.pause("morph", "env:MORPH_1")
    world.server.clear_faults()
    world.pass_time(10 * MINUTE)
    session = world.session(session_id)
    assert (session.state, session.stop_reason) == (State.STOPPED, StopReason.DEAD)


def test_an_attempt_that_ends_while_it_starts_frees_its_key_too(any_world: MakeWorld) -> None:
    world = any_world(morpheus_keys=1)
    world.server.fault("loading", operation="chat", times=1)
    session_id = world.create_session("moral")
    world.settle()
    [there] = world.server.open_sessions()
    world.server.end_session(there.id, "forgotten")
    world.pass_time(MINUTE)
    assert (world.session(session_id).state, len(world.placements(session_id))) == (State.RUNNING, 2)


def test_it_moves_no_more_often_than_the_policy_allows(any_world: MakeWorld) -> None:
    world, session_id = dying(any_world)
    for _ in range(3):
        if world.session(session_id).state is State.RUNNING:
            lose(world, session_id)
            world.pass_time(2 * MINUTE + SECOND)
    session = world.session(session_id)
    assert (session.stop_reason, len(world.placements(session_id))) == (StopReason.DEAD, 3)
