"""Switch on again after each test what a simulated world switches off in its process."""

import logging
from collections.abc import Iterator

import pytest

from tests.world import MINUTE, SECOND, World

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def logs_again() -> Iterator[None]:
    """Restore logging: days are played without logs, since they are meant to go wrong."""
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture
def lived(world: World) -> World:
    """Return a world with one session that was closed, one that ran out, and one that runs."""
    closed = world.run_session("moral")
    world.run_session("moral", stop={"max_duration_seconds": 70})
    world.pass_time(MINUTE)
    world.done("session.close", session_id=closed)
    world.pass_time(20 * SECOND)
    world.run_session("llama")
    return world
