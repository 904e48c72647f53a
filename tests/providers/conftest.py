"""One simulator per run; each test begins in an empty world."""

from collections.abc import Iterator

import pytest

from orchestrator.simulator import Simulator, SimulatorServer
from tests.drivers import PLATFORMS, PlatformUnderTest
from tests.providers.stage import Stage, holds_for, stage_of
from tests.simulator.conftest import HandClock

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def server() -> Iterator[SimulatorServer]:
    with SimulatorServer() as running:
        yield running


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run the contract for every platform; `where` selects platforms by their card, and none is skipped otherwise."""
    marks = list(metafunc.definition.iter_markers("where"))
    for name, all_of_them in (("stage", PLATFORMS), ("opener", [one for one in PLATFORMS if one.opens])):
        if name in metafunc.fixturenames and name not in vars(metafunc.module):
            those = [platform for platform in all_of_them if holds_for(marks, platform.card)]
            metafunc.parametrize(name, those, ids=[platform.name for platform in those], indirect=True)


@pytest.fixture
def stage(request: pytest.FixtureRequest, server: SimulatorServer) -> Stage:
    platform: PlatformUnderTest = request.param
    return stage_of(server, platform)


@pytest.fixture
def opener(request: pytest.FixtureRequest, server: SimulatorServer) -> Stage:
    """Return a platform with an open that is a separate request."""
    platform: PlatformUnderTest = request.param
    return stage_of(server, platform)


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def timed(clock: HandClock) -> Iterator[SimulatorServer]:
    """Start a separate world with a clock moved by hand."""
    with SimulatorServer(Simulator(clock=clock)) as running:
        yield running
