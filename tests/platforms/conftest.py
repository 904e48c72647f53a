"""Every platform at once, on a fresh database."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.platforms.world import PlatformWorld

pytestmark = pytest.mark.slow

MakeWorld = Callable[..., PlatformWorld]


@pytest.fixture
def make_platforms(sqlite_url: str) -> Iterator[MakeWorld]:
    """Return a factory of worlds with some platforms only, or changed ones."""
    with ExitStack() as stack:

        def make(*platforms: Any, **kind: Any) -> PlatformWorld:
            given = (list(platforms),) if platforms else ()
            return stack.enter_context(PlatformWorld(sqlite_url, *given, **kind))

        yield make
