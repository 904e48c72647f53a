"""Count the calls that one worker process has under way, so that it claims only rows that it can begin at once: no
lease runs while a row waits."""

import sys
import threading
from collections import Counter
from collections.abc import Callable, Mapping

from orchestrator.rules.states import Step

#: Calls under way at once in one process, for each kind of work. One provider holds at most half. However many calls
#: hang, each of the other providers keeps a share of its own.
TOTALS: Mapping[Step, int] = {Step.PING: 2048, Step.OPEN: 128, Step.RESOLVE: 128, Step.CLOSE: 256}


class Slots:
    """Counts by kind and provider. Thread-safe."""

    def __init__(
        self, caps: Mapping[str, int], totals: Mapping[Step, int] = TOTALS, most: int = sys.maxsize
    ) -> None:
        """Set the limits. `caps`: `max_in_flight` of each provider. `most`: of all kinds together, for each needs open
        files."""
        self._most = most
        self._caps = caps
        self._totals = totals
        self._lock = threading.Lock()
        self._held: Counter[tuple[Step, str]] = Counter()
        self._closed = False
        self._short: set[Step] = set()
        self.on_free: Callable[[Step], None] = lambda _step: None
        """Called when slots are free again after a claim found too few: there may be more to claim."""

    @property
    def closed(self) -> bool:
        """Whether this process is leaving: it gives back what it has claimed and not begun."""
        return self._closed

    def close(self) -> None:
        """Claim nothing more here from now on."""
        with self._lock:
            self._closed = True

    def any_free(self, step: Step, most: int = sys.maxsize) -> bool:
        """Return whether a slot is free for any provider, where `most` may be claimed for another reason."""
        with self._lock:
            return any(self._free(step, provider, most) for provider in self._caps)

    def take(self, step: Step, provider: str, most: int = sys.maxsize) -> int:
        """Take every slot that is free for this provider, at most so many. Give back unused ones with `release`."""
        with self._lock:
            free = self._free(step, provider, most)
            self._held[(step, provider)] += free
            return free

    def _free(self, step: Step, provider: str, most: int) -> int:
        if self._closed:
            return 0
        cap = min(self._caps.get(provider, 1), max(1, self._totals[step] // 2))
        left = self._totals[step] - sum(n for (kind, _), n in self._held.items() if kind is step)
        left = min(left, self._most - sum(self._held.values())) - self._left_to_others(step, provider)
        free = max(0, min(cap - self._held[(step, provider)], left, most))
        if not free:
            self._short.add(step)
        return free

    def release(self, step: Step, provider: str, count: int = 1) -> None:
        """Give slots back."""
        with self._lock:
            self._held[(step, provider)] -= count
            was_short = count > 0 and step in self._short and not self._closed
            if was_short:
                self._short.discard(step)
        if was_short:
            self.on_free(step)

    def held(self) -> int:
        """Return how many calls are under way in this process."""
        with self._lock:
            return sum(self._held.values())

    def _left_to_others(self, step: Step, provider: str) -> int:
        """Return the unused slots that are kept for the other providers: a quarter of all slots is shared out among
        them."""
        total, providers = min(self._totals[step], self._most), len(self._caps)
        least = 1 if 2 * providers <= total else 0  # with more providers, no share is kept
        share = max(total // (4 * max(providers, 1)), least)
        return sum(max(share - self._held[(step, name)], 0) for name in self._caps if name != provider)
