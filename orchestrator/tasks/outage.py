"""Log an outage of the database, which fails every tick alike: at its beginning, at intervals, and at its end."""

import logging
import threading
import time
from collections.abc import Callable

log = logging.getLogger(__name__)

#: Seconds between two lines about the same outage.
EVERY = 30.0
#: Seconds between two attempts to prove that it is over.
PROVE_EVERY = 1.0


class Outage:
    """What this process has logged about the present outage. Threads may share it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._since: float | None = None
        self._said = ""
        self._said_at = 0.0
        self._proved_at = -PROVE_EVERY
        self._failed = 0

    def note_failure(self, error: Exception) -> None:
        """Note that a tick has failed. `error`: the outage, in a sentence."""
        said = str(error)
        with self._lock:
            now = self._clock()
            self._failed += 1
            if self._since is not None and said == self._said and now - self._said_at < EVERY:
                return
            self._since, self._said_at = (now if self._since is None else self._since), now
            self._said, count = said, self._failed
        log.error("%s: %d ticks have failed so far; due work and jobs wait", said, count)

    def note_success(self, prove: Callable[[], object] = lambda: None) -> None:
        """Note that a tick has succeeded. It may only have read, so the outage is over once `prove`, a write, succeeds
        (it raises until then)."""
        if not self._may_prove():
            return
        prove()
        with self._lock:
            since, count = self._since, self._failed
            self._since, self._failed = None, 0
        if since is None:
            return
        seconds = self._clock() - since
        log.warning("the database works again after %.0f s, in which %d ticks failed", seconds, count)

    def _may_prove(self) -> bool:
        with self._lock:
            now = self._clock()
            if self._since is None or now - self._proved_at < PROVE_EVERY:
                return False
            self._proved_at = now
            return True
