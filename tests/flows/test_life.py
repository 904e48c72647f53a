"""A session's whole life, in stories."""

from datetime import timedelta

import pytest

from orchestrator.rules.states import PlacementState, State, StopReason
from tests.world import MINUTE, SECOND, World


@pytest.mark.parametrize("model", ["llama", "moral"])
def test_a_session_is_created_pinged_and_closed(world: World, model: str) -> None:
    session_id = world.run_session(model)
    world.pass_time(5 * MINUTE)
    assert world.session(session_id).last_verdict == "ALIVE"
    world.done("session.close", session_id=session_id)
    world.pass_time(2 * SECOND)
    session = world.session(session_id)
    assert (session.state, session.stop_reason) == (State.STOPPED, StopReason.USER)
    assert [placement.state for placement in world.placements(session_id)] == [PlacementState.CLOSED]
    assert world.events(session_id) == ["created", "starting", "running", "stopping", "stopped"]
    assert not world.server.open_sessions()


@pytest.mark.parametrize("model", ["llama", "moral"])
def test_a_session_stops_at_its_duration(world: World, model: str) -> None:
    session_id = world.run_session(model, stop={"max_duration_seconds": 600})
    world.pass_time(timedelta(minutes=9, seconds=59))
    assert world.session(session_id).state is State.RUNNING
    world.pass_time(3 * SECOND)
    session = world.session(session_id)
    assert (session.state, session.stop_reason) == (State.STOPPED, StopReason.MAX_DURATION)
    assert str(session.charged) == "0.200000"


@pytest.mark.parametrize("model", ["llama", "moral"])
def test_a_dead_session_is_closed(world: World, model: str) -> None:
    session_id = world.run_session(model)
    world.server.fault("dead", operation="chat")
    world.pass_time(3 * MINUTE)
    session = world.session(session_id)
    assert (session.state, session.stop_reason) == (State.STOPPED, StopReason.DEAD)
    assert world.events(session_id) == ["created", "starting", "running", "suspect", "stopping", "stopped"]
