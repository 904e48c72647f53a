"""One row that cannot be read delays no other row."""

import logging

import pytest
from sqlalchemy import text

from orchestrator.rules.states import State
from tests.flows.conftest import MakeWorld
from tests.world import MINUTE, SECOND, World

pytestmark = pytest.mark.slow


def _garble(world: World, statement: str, session_id: str) -> None:
    with world.services.database.engine.begin() as connection:
        assert connection.execute(text(statement), {"id": session_id}).rowcount == 1


@pytest.mark.parametrize(
    "statement",
    [
        pytest.param("UPDATE sessions SET attach = '[7]' WHERE id = :id", id="the session"),
        pytest.param("UPDATE placements SET attach = '[7]' WHERE session_id = :id", id="its placement"),
    ],
)
def test_all_others_are_pinged(
    any_world: MakeWorld, statement: str, caplog: pytest.LogCaptureFixture
) -> None:
    world = any_world()
    bad, good = world.run_session(), world.run_session()
    _garble(world, statement, bad)
    world.pass_time(31 * SECOND)
    assert world.session(good).last_ping_at == world.clock.now - SECOND
    reported = [one.getMessage() for one in caplog.records if one.levelno == logging.ERROR]
    assert len(reported) == 1, "once in a while"
    assert bad in reported[0]
    world.pass_time(5 * MINUTE)
    assert world.session(good).last_ping_at == world.clock.now - SECOND
    _garble(world, statement.replace("'[7]'", "NULL"), bad)
    world.pass_time(6 * MINUTE)
    assert world.session(bad).state is State.RUNNING


def test_all_others_are_closed(any_world: MakeWorld) -> None:
    world = any_world()
    bad, good = world.run_session("moral"), world.run_session("moral")
    for session_id in (bad, good):
        world.done("session.close", session_id=session_id)
    _garble(world, "UPDATE placements SET attach = '[7]' WHERE session_id = :id", bad)
    world.pass_time(MINUTE)
    assert world.session(good).state is State.STOPPED
    assert world.session(bad).state is State.STOPPING
    _garble(world, "UPDATE placements SET attach = NULL WHERE session_id = :id", bad)
    world.pass_time(5 * MINUTE)
    assert world.session(bad).state is State.STOPPED
