"""Waiting for what another thread or process does, and ports for those that listen."""

import socket
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

#: Seconds that anything may take on a busy machine before a test fails.
WAIT_LIMIT = 60.0


class Unseen(AssertionError):
    """What should have happened did not, within the time of the test."""


def eventually(look: Callable[[], T], what: str, wait_limit: float = WAIT_LIMIT, every: float = 0.05) -> T:
    """Return the first truthy answer of `look`; raise `Unseen` where none comes."""
    give_up_at = time.monotonic() + wait_limit
    while not (seen := look()):
        if time.monotonic() > give_up_at:
            raise Unseen(f"in vain waited for: {what}")
        time.sleep(every)
    return seen


def free_port() -> int:
    """Return a port without a listener."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
