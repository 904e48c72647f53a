"""The small world, checked at the end of every story."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from tests.flows import invariants
from tests.receiver import Receiver, receiver
from tests.world import World

MakeWorld = Callable[..., World]


@pytest.fixture
def make_world(sqlite_url: str) -> Iterator[MakeWorld]:
    """Return a factory of other worlds: policy, plans, keys, gateway. `leaked`: what its story leaves open."""
    with _worlds(sqlite_url) as make:
        yield make


@pytest.fixture
def world(sqlite_url: str) -> Iterator[World]:
    """Return the small world, on SQLite."""
    with _worlds(sqlite_url) as make:
        yield make()


@pytest.fixture
def any_world(database_url: str) -> Iterator[MakeWorld]:
    """Return the same factory as `make_world`, on both databases."""
    with _worlds(database_url) as make:
        yield make


@pytest.fixture
def shop() -> Iterator[Receiver]:
    """Return a receiver that takes everything."""
    with receiver() as one:
        yield one


@contextmanager
def _worlds(url: str) -> Iterator[MakeWorld]:
    with ExitStack() as stack:

        def make(*, leaked: int = 0, **kind: Any) -> World:
            world = stack.enter_context(World(url, **kind))
            stack.callback(invariants.check, world, leaked=leaked)
            return world

        yield make
