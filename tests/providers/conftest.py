"""One simulator per run; each test begins in an empty world."""

from collections.abc import Iterator

import pytest

from orchestrator.simulator import SimulatorServer
from tests.providers.stage import PLATFORMS, PlatformUnderTest, Stage, stage_of


@pytest.fixture(scope="session")
def server() -> Iterator[SimulatorServer]:
    with SimulatorServer() as running:
        yield running


@pytest.fixture(params=PLATFORMS, ids=lambda platform: platform.driver)
def stage(request: pytest.FixtureRequest, server: SimulatorServer) -> Stage:
    platform: PlatformUnderTest = request.param
    return stage_of(server, platform)
