"""A ping that says GONE, and the platform's own status beside it."""

import pytest

from orchestrator.rules.states import State, StopReason
from orchestrator.rules.values import Verdict
from tests.platforms.conftest import MakeWorld
from tests.platforms.world import platform_of
from tests.world import MINUTE, SECOND

#: Who can be asked about one session, and by which request.
ASKED = {"sesterce": "list", "fpt-template": "status", "morpheus-node": "status"}

every_that_tells = pytest.mark.parametrize("name", ASKED)


@every_that_tells
def test_gone_said_twice_of_what_the_platform_says_lives_ends_nothing(
    name: str, make_platforms: MakeWorld
) -> None:
    world = make_platforms(platform_of(name))
    session_id = world.run_at(name)
    world.fault_at(name, "gone", times=2)
    world.pass_time(32 * SECOND)
    session = world.session(session_id)
    assert (session.last_verdict, session.failures, session.gone_since) == (Verdict.TRANSIENT, 2, None)
    assert "the platform's status says that it lives" in (session.last_ping_detail or "")
    world.pass_time(MINUTE)
    assert (world.session(session_id).state, world.session(session_id).failures) == (State.RUNNING, 0)


@every_that_tells
def test_gone_without_end_is_death_all_the_same(name: str, make_platforms: MakeWorld) -> None:
    world = make_platforms(platform_of(name))
    session_id = world.run_at(name)
    world.fault_at(name, "gone")
    world.pass_time(3 * MINUTE)
    session = world.session(session_id)
    assert session.stop_reason is StopReason.DEAD
    assert "failed pings in a row" in (session.stop_detail or "")


@every_that_tells
def test_where_its_status_cannot_be_read_the_second_ping_is_the_confirmation(
    name: str, make_platforms: MakeWorld
) -> None:
    world = make_platforms(platform_of(name))
    session_id = world.run_at(name)
    world.fault_at(name, "gone")
    world.fault_at(name, "error_before", ASKED[name])
    world.pass_time(35 * SECOND)
    session = world.session(session_id)
    assert session.stop_reason is StopReason.DEAD
    assert "gone, twice" in (session.stop_detail or "")
