"""One simulator per run; each test begins in an empty world."""

from collections.abc import Iterator

import pytest

from orchestrator.simulator import Simulator, SimulatorServer
from tests.providers.stage import PLATFORMS, PlatformUnderTest, Stage, stage_of
from tests.simulator.conftest import HandClock


@pytest.fixture(scope="session")
def server() -> Iterator[SimulatorServer]:
    with SimulatorServer() as running:
        yield running


@pytest.fixture(params=PLATFORMS, ids=lambda platform: platform.id)
def stage(request: pytest.FixtureRequest, server: SimulatorServer) -> Stage:
    platform: PlatformUnderTest = request.param
    return stage_of(server, platform)


@pytest.fixture(params=[one for one in PLATFORMS if one.opens], ids=lambda platform: platform.id)
def opener(request: pytest.FixtureRequest, server: SimulatorServer) -> Stage:
    """A platform whose open is a request of its own."""
    platform: PlatformUnderTest = request.param
    return stage_of(server, platform)


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def timed(clock: HandClock) -> Iterator[SimulatorServer]:
    """A world of its own, whose time is moved by hand."""
    with SimulatorServer(Simulator(clock=clock)) as running:
        yield running
