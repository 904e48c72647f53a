"""Bound the pings of sessions with an unanswered last ping to half of a provider's slots: those that hang hold a slot
for the ping's whole timeout, and must not delay the pings of others."""

import threading
from collections import Counter


class Suspects:
    """How many such pings one process has under way, by provider. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: Counter[str] = Counter()

    def room(self, provider: str, most: int) -> int:
        """Return how many more may begin where `most` pings may be under way."""
        with self._lock:
            return max(max(most // 2, 1) - self._held[provider], 0)

    def hold(self, provider: str, count: int = 1) -> None:
        """Note that they are claimed."""
        with self._lock:
            self._held[provider] += count

    def release(self, provider: str, count: int = 1) -> None:
        """Note that they are over."""
        with self._lock:
            self._held[provider] -= count
