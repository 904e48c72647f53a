"""A served API over the small world, on SQLite and on both databases."""

from collections.abc import Iterator

import pytest

from tests.api.stage import Api
from tests.world import World

pytestmark = pytest.mark.slow


@pytest.fixture
def api(world: World) -> Iterator[Api]:
    """Serve the API over the small world."""
    with Api(world) as api:
        yield api


@pytest.fixture
def any_api(database_url: str) -> Iterator[Api]:
    """Serve the API over the small world, on both databases."""
    with World(database_url) as world, Api(world) as api:
        yield api
