"""The clock of the event loop that makes the calls. Waits and deadlines both use it, so that they stay consistent."""

import asyncio
from collections import deque


def monotonic() -> float:
    """Return the running loop's own clock in seconds: `time.monotonic()`, unless the loop has another."""
    return asyncio.get_running_loop().time()


#: Seconds between two looks.
EVERY = 1.0
#: A call's timeout is ignored if the loop stood still for half of it; that half is bounded by these.
LEAST, MOST = 1.0, 5.0


class LoopWatch:
    """Checks the loop every second while calls are under way, and notices when it stood still: a call that timed out
    meanwhile may have been answered in time."""

    def __init__(self) -> None:
        self._calls = 0
        self._seen = 0.0
        self._next: asyncio.TimerHandle | None = None
        self._stalls: deque[tuple[float, float]] = deque(maxlen=16)

    def begin(self) -> None:
        """Count one more call under way."""
        self._calls += 1
        if self._next is None:
            self._seen = monotonic()
            self._next = asyncio.get_running_loop().call_later(EVERY, self._look)

    def end(self) -> None:
        """Count one call less."""
        self._calls -= 1

    @property
    def calls(self) -> int:
        """Calls under way."""
        return self._calls

    def stood_still(self, begun: float, timeout_seconds: float) -> bool:
        """Return whether the loop stood still for so long since `begun` that a timeout proves nothing."""
        bound = min(max(timeout_seconds / 2, LEAST), MOST)
        last = (self._seen + EVERY, monotonic())
        return any(end > begun and end - max(start, begun) >= bound for start, end in (*self._stalls, last))

    def stop(self) -> None:
        """Stop checking."""
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def _look(self) -> None:
        now = monotonic()
        if now - self._seen - EVERY >= LEAST:
            self._stalls.append((self._seen + EVERY, now))
        self._seen, self._next = now, None
        if self._calls > 0:
            self._next = asyncio.get_running_loop().call_later(EVERY, self._look)
