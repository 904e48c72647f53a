"""The platform's own status or list, beside a ping that says GONE and beside any answer of a close."""

from typing import Any

import pytest

from orchestrator.rules.states import State, StopReason
from orchestrator.rules.values import Verdict
from tests.drivers import platform_of
from tests.platforms.conftest import MakeWorld
from tests.world import HOUR, MINUTE, SECOND

#: Platforms that have a status of one session, and the request for it.
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


@pytest.mark.parametrize("status", [400, 409, 500])
@every_that_tells
def test_what_its_status_says_has_ended_is_closed_whatever_the_close_is_answered(
    name: str, status: int, make_platforms: MakeWorld
) -> None:
    world = make_platforms(platform_of(name))
    session_id = world.run_at(name)
    world.end_there(session_id)
    body = {"error": {"message": "this cannot be done now", "code": "conflict"}}
    world.fault_at(name, "status", "close", status=status, body=body)
    world.done("session.close", session_id=session_id)
    world.pass_time(MINUTE)
    assert world.session(session_id).state is State.STOPPED, world.placement(session_id).last_answer


@pytest.mark.parametrize(
    ("fault", "params"), [("error_before", {}), ("hang", {}), ("invalid_json", {"effect": True})]
)
def test_what_the_list_calls_disabled_is_closed(
    fault: str, params: dict[str, Any], make_platforms: MakeWorld
) -> None:
    wait_limit = {"on_close": "stop", "close_timeout_seconds": 0.5}
    world = make_platforms(platform_of("sesterce").with_options(**wait_limit))
    session_id = world.run_at("sesterce")
    if not params:
        world.end_there(session_id)
    world.fault_at("sesterce", fault, "close", **params)
    world.done("session.close", session_id=session_id)
    world.pass_time(HOUR)
    assert world.session(session_id).state is State.STOPPED, world.placement(session_id).last_answer
