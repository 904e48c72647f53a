"""The same life at every platform: created, running, pinged, stopped, closed with proof."""

from datetime import timedelta

import pytest

from orchestrator.rules.states import PlacementState, State, StopReason
from tests.drivers import PLATFORMS, PlatformUnderTest
from tests.platforms.conftest import MakeWorld
from tests.platforms.world import PlatformWorld
from tests.world import HOUR, MINUTE, SECOND

every = pytest.mark.parametrize("platform", PLATFORMS, ids=lambda platform: platform.name)
where_it_can_end = pytest.mark.parametrize(
    "platform", [one for one in PLATFORMS if one.has_sessions], ids=lambda platform: platform.name
)
where_it_can_be_lost = pytest.mark.parametrize(
    "platform", [one for one in PLATFORMS if one.opens], ids=lambda platform: platform.name
)


def run_life_cycle(world: PlatformWorld, platform: PlatformUnderTest) -> None:
    session_id = world.run_at(platform.name, stop={"max_duration_seconds": 600})
    view = world.view(session_id)
    assert view["endpoint"]["model"] == world.placement(session_id).endpoint_model
    began = len(world.chats(platform.name))
    world.pass_time(2 * MINUTE)
    assert len(world.chats(platform.name)) == began + 4
    world.pass_time(8 * MINUTE)
    if platform.attaches:
        assert world.session(session_id).state is State.STOPPING
        world.end_there(session_id)  # an operator, in the console
        world.pass_time(HOUR)
    session, placement = world.session(session_id), world.placement(session_id)
    assert (session.state, session.stop_reason) == (State.STOPPED, StopReason.MAX_DURATION)
    assert session.running_at is not None
    assert session.stopped_at == session.running_at + timedelta(seconds=600)
    assert (placement.state, bool(placement.proof)) == (PlacementState.CLOSED, True)
    report = world.server.report()
    assert (report.open_now, report.double_opens, report.pings_after_close) == (0, 0, 0)


@every
def test_a_session_lives_and_is_closed_with_proof(
    platform: PlatformUnderTest, make_platforms: MakeWorld
) -> None:
    run_life_cycle(make_platforms(platform), platform)


@every
def test_a_user_closes_it_at_any_time(platform: PlatformUnderTest, make_platforms: MakeWorld) -> None:
    world = make_platforms(platform)
    session_id = world.create_at(platform.name)
    world.done("session.close", session_id=session_id)
    world.pass_time(MINUTE)
    assert world.session(session_id).state is State.STOPPED
    assert world.server.report().open_now == 0 or platform.attaches


@where_it_can_be_lost
@pytest.mark.parametrize("fault", ["cut_after_effect", "cut_before_effect", "error_after_effect"])
def test_the_lost_answer_of_an_open_is_resolved(
    platform: PlatformUnderTest, fault: str, make_platforms: MakeWorld
) -> None:
    world = make_platforms(platform)
    world.fault_at(platform.name, fault, platform.open_operation, times=1)
    session_id = world.create_at(platform.name, stop={"max_duration_seconds": 3600})
    world.settle()
    world.pass_time(19 * MINUTE)
    report = world.server.report()
    assert (report.double_opens, report.leaked) == (0, 0)
    assert world.session(session_id).state is State.RUNNING, world.placements(session_id)
    assert report.open_now == 1
    world.done("session.close", session_id=session_id)
    world.pass_time(2 * MINUTE)
    assert world.session(session_id).state is State.STOPPED
    assert world.server.report().open_now == 0


@where_it_can_be_lost
def test_a_stop_after_a_lost_open_closes_what_was_opened(
    platform: PlatformUnderTest, make_platforms: MakeWorld
) -> None:
    world = make_platforms(platform)
    world.fault_at(platform.name, "cut_after_effect", platform.open_operation, times=1)
    session_id = world.create_at(platform.name)
    world.settle()
    world.done("session.close", session_id=session_id)
    world.pass_time(HOUR)
    assert world.session(session_id).state is State.STOPPED, world.placements(session_id)
    assert world.server.report().open_now == 0


@where_it_can_end
@pytest.mark.parametrize("how", ["expired", "dead", "forgotten"])
def test_what_the_platform_ends_by_itself_is_dead_or_has_expired_and_is_closed(
    platform: PlatformUnderTest, how: str, make_platforms: MakeWorld
) -> None:
    world = make_platforms(platform)
    session_id = world.run_at(platform.name)
    world.end_there(session_id, how)
    world.pass_time(5 * MINUTE)
    session = world.session(session_id)
    if platform.attaches and how == "forgotten":  # the key's next call begins another one there
        return
    says_expired = how == "expired" and platform.says_expired
    assert session.stop_reason is (StopReason.PROVIDER_ENDED if says_expired else StopReason.DEAD), session
    assert session.state is State.STOPPED, world.placements(session_id)
    assert world.server.report().pings_after_close == 0


@every
def test_pings_stop_before_the_close_begins(platform: PlatformUnderTest, make_platforms: MakeWorld) -> None:
    world = make_platforms(platform)
    session_id = world.run_at(platform.name)
    world.pass_time(30 * SECOND)
    world.done("session.close", session_id=session_id)
    world.pass_time(10 * SECOND)
    seen = len(world.chats(platform.name))
    world.pass_time(2 * MINUTE)
    if not platform.attaches:  # there the close itself checks whether the endpoint has ended
        assert len(world.chats(platform.name)) == seen
        assert world.session(session_id).state is State.STOPPED
