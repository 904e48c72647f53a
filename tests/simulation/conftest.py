"""What a simulated world turns off in its process is on again for whoever comes next."""

import logging
from collections.abc import Iterator

import pytest

from tests.world import MINUTE, SECOND, World


@pytest.fixture(autouse=True)
def logs_again() -> Iterator[None]:
    """A day is meant to go wrong, and is played without logs."""
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture
def lived(world: World) -> World:
    """One session that was closed, one that ran out, and one that runs."""
    closed = world.run_session("moral")
    world.run_session("moral", stop={"max_duration_seconds": 70})
    world.pass_time(MINUTE)
    world.done("session.close", session_id=closed)
    world.pass_time(20 * SECOND)
    world.run_session("llama")
    return world
