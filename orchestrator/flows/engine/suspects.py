"""Bound the pings of sessions that did not answer their last ping to half of a provider's slots. Such a ping may hold a
slot for its whole timeout, and must not delay the pings of others."""

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
        """Note that pings were claimed."""
        with self._lock:
            self._held[provider] += count

    def release(self, provider: str, count: int = 1) -> None:
        """Note that pings have ended."""
        with self._lock:
            self._held[provider] -= count
