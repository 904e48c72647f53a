"""What a simulated world turns off in its process is on again for whoever comes next."""

import logging
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def logs_again() -> Iterator[None]:
    """A day is meant to go wrong, and is played without logs."""
    yield
    logging.disable(logging.NOTSET)
