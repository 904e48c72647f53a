"""A session that a Morpheus node has ended by itself cannot be closed at the gateway: other proof is accepted beside
its answer."""

import pytest

from orchestrator.rules.states import PlacementState, State, StopReason
from tests.flows.conftest import MakeWorld
from tests.world import HOUR, MINUTE, World

pytestmark = pytest.mark.slow

STUBBORN = {"keeps_rows": True}


def ended_world(any_world: MakeWorld, *, keys: int = 1) -> tuple[World, str]:
    """Return a world with one session, which the node has ended; the gateway answers each close of it with 500."""
    world = any_world(morpheus_keys=keys, gateway=STUBBORN)
    session_id = world.run_session("moral", stop={"max_duration_seconds": 7200})
    world.server.end_session(world.server.open_sessions()[0].id, "expired")
    return world, session_id


def test_a_ping_that_says_gone_is_proof_beside_the_answer_of_the_close(any_world: MakeWorld) -> None:
    world, session_id = ended_world(any_world)
    world.done("session.close", session_id=session_id)
    world.pass_time(MINUTE)
    session, [placement] = world.session(session_id), world.placements(session_id)
    assert (session.state, placement.state) == (State.STOPPED, PlacementState.CLOSED)
    assert "session expired" in (placement.proof or "")
    assert "Error closing session" in (placement.proof or ""), "what the close was answered stands there too"


def test_so_it_is_for_one_that_died(any_world: MakeWorld) -> None:
    world, session_id = ended_world(any_world)
    world.pass_time(3 * MINUTE)
    session = world.session(session_id)
    assert (session.state, session.stop_reason) == (State.STOPPED, StopReason.PROVIDER_ENDED)


@pytest.mark.parametrize("fault", ["error_before", "hang", "loading", "unauthorized"])
def test_a_ping_that_says_anything_else_proves_nothing(fault: str, any_world: MakeWorld) -> None:
    world = any_world(options={"read_timeout_seconds": 0.2})
    session_id = world.run_session("moral")
    world.server.fault("close_fails", operation="close")
    world.server.fault(fault, operation="chat")
    world.done("session.close", session_id=session_id)
    world.pass_time(MINUTE)
    assert world.session(session_id).state is State.STOPPING


def test_one_ping_that_says_gone_is_not_believed_alone(any_world: MakeWorld) -> None:
    world = any_world()
    session_id = world.run_session("moral")
    world.server.fault("close_fails", operation="close", times=30)
    world.server.fault("gone", operation="chat", times=1)
    world.done("session.close", session_id=session_id)
    world.pass_time(MINUTE)
    assert world.session(session_id).state is State.STOPPING
    assert len(world.server.open_sessions()) == 1


def test_a_key_whose_row_stays_is_left_for_the_next_and_not_tried_at_once_again(any_world: MakeWorld) -> None:
    world, first = ended_world(any_world, keys=2)
    world.done("session.close", session_id=first)
    world.pass_time(MINUTE)
    world.done(
        "session.close", session_id=world.run_session("moral")
    )  # under the key that has rested longest
    world.settle()
    session_id = world.create_session("moral")
    world.pass_time(2 * MINUTE)
    assert [one.credential for one in world.placements(session_id)] == ["env:MORPH_1", "env:MORPH_2"]
    assert world.session(session_id).state is State.RUNNING
    world.done("session.close", session_id=session_id)
    world.settle()
    new_id = world.run_session("moral")
    assert world.session(new_id).credential == "env:MORPH_2"


def test_once_its_time_is_over_the_key_is_free(any_world: MakeWorld) -> None:
    world, first = ended_world(any_world)
    world.done("session.close", session_id=first)
    world.pass_time(3 * HOUR)
    assert world.session(first).state is State.STOPPED
    session_id = world.run_session("moral")
    assert world.session(session_id).state is State.RUNNING
