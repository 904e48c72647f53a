"""Claim no more than can begin soon: as many as this process lately began in that time.

Free slots do not bound that. Where the machine is busy, a thousand claimed calls may not all begin before their claims
are too old; each of these is given back and claimed again, which costs as much as the calls themselves."""

import threading

#: Claims are to begin within this; they are given back after `PING_BEGINS_WITHIN`. Seconds.
SOON = 0.4
#: A claim may always be as large as this, so that a process that was slow finds out that it is not any more.
LEAST = 16
#: What a process is expected to begin in a second, until it has begun anything.
AT_FIRST = 1_000.0


class Pace:
    """How many calls of one kind may be claimed now. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._per_second = AT_FIRST
        self._waiting = 0

    def room(self) -> int:
        """Return how many calls may be claimed, besides those that have not begun."""
        with self._lock:
            return max(int(self._per_second * SOON), LEAST) - self._waiting

    def batch(self, count: int, now: float) -> "WaitingCalls":
        """Count calls that wait for their turn from now on, by the clock of the loop."""
        with self._lock:
            self._waiting += count
            return WaitingCalls(self, self._waiting, count, now)

    def begin_one(self, batch: "WaitingCalls", now: float) -> None:
        """Count a call that begins."""
        with self._lock:
            self._waiting -= 1
            batch.left -= 1
            if not batch.left:
                self._per_second = batch.ahead / max(now - batch.since, 0.001)


class WaitingCalls:
    """Calls that were claimed together."""

    def __init__(self, pace: Pace, ahead: int, count: int, since: float) -> None:
        self._pace = pace
        self.ahead, self.left, self.since = ahead, count, since
        """How many had to begin, with those before them; how many of its own have not; since when."""

    def begin_one(self, now: float) -> None:
        """Count one of them that begins."""
        self._pace.begin_one(self, now)
