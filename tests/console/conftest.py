"""A served console over the small world."""

from collections.abc import Iterator

import pytest

from tests.console.stage import Stage
from tests.world import World

pytestmark = pytest.mark.slow


@pytest.fixture
def site(world: World) -> Iterator[Stage]:
    """Serve the API with its console over the small world."""
    with Stage(world) as stage:
        yield stage
