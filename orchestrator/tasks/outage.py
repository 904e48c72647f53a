"""A database that is down fails every tick alike: it is told of once in a while, and once when it is over."""

import logging
import threading
import time
from collections.abc import Callable

log = logging.getLogger(__name__)

#: Seconds between two lines about the same outage.
EVERY = 30.0


class Outage:
    """What this process has said of the present one. Safe to share between threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._since: float | None = None
        self._said_at = 0.0
        self._failed = 0

    def told(self, error: Exception) -> None:
        """A tick has failed because the database is down."""
        with self._lock:
            now = self._clock()
            self._failed += 1
            if self._since is not None and now - self._said_at < EVERY:
                return
            self._since, self._said_at = (now if self._since is None else self._since), now
            count = self._failed
        cause = getattr(error, "orig", None) or error
        log.error(
            "the store is down (%s): %d ticks have failed so far; what is due stays due, and jobs wait",
            type(cause).__name__,
            count,
        )

    def over(self) -> None:
        """A tick has done its work."""
        with self._lock:
            if self._since is None:
                return
            seconds, count = self._clock() - self._since, self._failed
            self._since, self._failed = None, 0
        log.warning("the store is back after %.0f s, in which %d ticks failed", seconds, count)
