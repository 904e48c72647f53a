"""One instance that several sessions ask for: none starts, takes or stops what another one uses."""

import pytest

from orchestrator.rules.states import PlacementState, State, StopReason
from tests.drivers import MODEL, PlatformUnderTest, platform_of
from tests.platforms.conftest import MakeWorld
from tests.platforms.world import PlatformWorld
from tests.world import MINUTE, SECOND

START = PlatformUnderTest(
    driver="sesterce",
    open_operation="start",
    url_option="control_url",
    options={"on_open": "start", "on_close": "stop", "poll_seconds": 0.02, "instances": {MODEL: "i1"}},
    upstream={"instances": [{"id": "i1", "model": MODEL, "running": False}]},
)
ATTACH = PlatformUnderTest(
    driver="sesterce",
    open_operation="list",
    url_option="control_url",
    options={"poll_seconds": 0.02, "instances": {MODEL: "i1"}},
    upstream={"instances": [{"id": "i1", "model": MODEL}]},
    opens=False,
)


def _lost(world: PlatformWorld, fault: str) -> str:
    """Return a session with a start in doubt."""
    world.fault_at("sesterce", fault, "start", times=1)
    session_id = world.create_at("sesterce")
    world.settle()
    assert world.placement(session_id).state is PlacementState.UNKNOWN
    return session_id


@pytest.mark.parametrize("ends_by", ["its user", "its time to start"])
def test_a_start_that_was_lost_never_stops_the_neighbour_who_started_it(
    make_platforms: MakeWorld, ends_by: str
) -> None:
    world = make_platforms(START)
    lost = _lost(world, "error_before")
    world.pass_time(30 * SECOND)
    neighbour = world.run_at("sesterce")
    if ends_by == "its user":
        world.done("session.close", session_id=lost)
    world.pass_time(20 * MINUTE)
    assert world.session(lost).ended_at is not None
    assert world.placement(lost).state is PlacementState.NEVER_OPENED
    assert world.session(neighbour).state is State.RUNNING
    assert world.calls("close", "sesterce") == 0


def test_a_start_that_nobody_wants_any_more_is_stopped_before_another_session_gets_it(
    make_platforms: MakeWorld,
) -> None:
    world = make_platforms(START, platform_of("openai"))
    world.put_model("pair", {"sesterce": MODEL, "openai": MODEL})
    lost = _lost(world, "error_before")
    world.done("session.close", session_id=lost)
    other = world.create_session("pair")
    world.settle()
    assert world.session(other).provider == "openai", "what was lost may yet start it, and is to be stopped"
    world.pass_time(20 * MINUTE)
    assert world.session(lost).state is State.STOPPED
    world.run_at("sesterce")


def test_an_instance_is_free_again_as_soon_as_it_is_stopped(make_platforms: MakeWorld) -> None:
    world = make_platforms(START)
    for _ in range(2):
        world.done("session.close", session_id=world.run_at("sesterce"))
        world.pass_time(SECOND)
    assert (world.server.report().opens, world.server.report().closes) == (2, 2)


def test_of_two_who_start_one_instance_at_once_one_moves_on(make_platforms: MakeWorld) -> None:
    world = make_platforms(START, platform_of("openai"))
    world.put_model("pair", {"sesterce": MODEL, "openai": MODEL})
    world.fault_at("sesterce", "slow", "list", seconds=0.2, times=2)
    both = [world.create_session("pair") for _ in range(2)]
    world.pass_time(15 * MINUTE)
    assert {world.session(one).state for one in both} == {State.RUNNING}
    assert {world.session(one).provider for one in both} == {"sesterce", "openai"}


def test_what_runs_for_another_session_is_not_taken(make_platforms: MakeWorld) -> None:
    world = make_platforms(START.with_options(start_takes_running=True), platform_of("openai"))
    world.put_model("pair", {"sesterce": MODEL, "openai": MODEL})
    first = world.run_at("sesterce")
    second = world.create_session("pair")
    world.settle()
    assert (world.session(first).state, world.session(second).provider) == (State.RUNNING, "openai")
    world.pass_time(20 * MINUTE)
    assert world.session(first).state is State.RUNNING


def test_a_session_that_finds_its_instance_attached_by_another_goes_elsewhere_at_once(
    make_platforms: MakeWorld,
) -> None:
    world = make_platforms(ATTACH, platform_of("openai"))
    world.put_model("pair", {"sesterce": MODEL, "openai": MODEL})
    first, second = world.create_session("pair"), ""
    world.settle()
    second = world.create_session("pair")
    world.settle()
    assert [world.session(one).provider for one in (first, second)] == ["sesterce", "openai"]
    assert [world.session(one).state for one in (first, second)] == [State.RUNNING, State.RUNNING]
    assert "i1 is another session's" in (world.placements(second)[0].last_answer or "")


def test_where_its_instance_is_attached_by_another_and_nothing_else_is_left_it_fails_at_once(
    make_platforms: MakeWorld,
) -> None:
    world = make_platforms(ATTACH)
    world.run_at("sesterce")
    second = world.create_at("sesterce")
    world.settle()
    assert (world.session(second).state, world.session(second).stop_reason) == (
        State.FAILED,
        StopReason.START_FAILED,
    )
