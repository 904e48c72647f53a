"""Pings of sessions whose last one was not answered hold at most half of a provider's slots: those that hang hold one
for as long as the ping's timeout, and must not keep the others from their interval."""

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
        """They are claimed."""
        with self._lock:
            self._held[provider] += count

    def release(self, provider: str, count: int = 1) -> None:
        """They are over."""
        with self._lock:
            self._held[provider] -= count
