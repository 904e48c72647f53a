"""Log repeated failures: the first, one at intervals, and the first after a success."""

import logging
import time
from collections.abc import Callable

log = logging.getLogger(__name__)

#: Seconds between two lines about the same trouble.
EVERY = 30.0


class FailureLog:
    """A limiter of warnings. Threads may share it: at worst one line is logged twice."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._said_at: float | None = None

    def log_failure(self, what: str, error: Exception | None = None) -> None:
        """Log a failure, unless one was logged recently. `error`: logged with its traceback if it is a defect."""
        now = self._clock()
        if self._said_at is None or now - self._said_at >= EVERY:
            self._said_at = now
            log.warning(what, exc_info=error)

    def note_success(self) -> None:
        """Note a success: the next failure is logged at once."""
        self._said_at = None
