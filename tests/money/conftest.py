"""Stages and histories of one database."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.money.history import History
from tests.money.stage import Stage

pytestmark = pytest.mark.money


@contextmanager
def staged(url: str) -> Iterator[tuple[Stage, History]]:
    stage, history = Stage(url), History(url)
    try:
        yield stage, history
    finally:
        history.close()
        stage.close()


@pytest.fixture
def machinery(database_url: str) -> Iterator[tuple[Stage, History]]:
    """Run the same test on both databases."""
    with staged(database_url) as both:
        yield both
