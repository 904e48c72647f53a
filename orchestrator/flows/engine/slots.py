"""How many calls one worker process may claim now, so that it claims only rows that it can begin at once: no lease runs
while a row waits."""

import sys
import threading
from collections import Counter
from collections.abc import Callable, Hashable, Mapping
from datetime import datetime, timedelta

from orchestrator.rules.states import Step
from orchestrator.rules.upstream.local_faults import Cooldown, cooled

#: Calls under way at once in one process, for each kind of work. One provider holds at most half. However many calls
#: hang, each of the other providers keeps a share of its own.
TOTALS: Mapping[Step, int] = {Step.PING: 2048, Step.OPEN: 128, Step.RESOLVE: 128, Step.CLOSE: 256}


class Slots:
    """Counts the calls under way, by kind and provider. Thread-safe."""

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
        """Take every slot that is free for this provider, at most this many. Give back unused ones with `release`."""
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


class Suspects:
    """Bounds the pings of sessions that did not answer their last ping to half of a provider's slots. Such a ping may
    hold a slot for its whole timeout, and must not delay the pings of others. Thread-safe."""

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


#: Claims are to begin within this; they are given back after `PING_BEGINS_WITHIN`. Seconds.
SOON = 0.4
#: A claim may always be as large as this, so that a process that was slow finds out that it is not any more.
LEAST = 16
#: What a process is expected to begin in a second, until it has begun anything.
AT_FIRST = 1_000.0


class Pace:
    """Lets no more calls be claimed than can begin soon: as many as this process recently began in that time.

    Free slots do not bound that. Where the machine is busy, a thousand claimed calls may not all begin before their
    claims are too old; each of these is given back and claimed again, which costs as much as the calls themselves.
    Thread-safe."""

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


#: An open alarm is written again after this.
TOLD_FOR = timedelta(seconds=10)


class Cooldowns:
    """Leaves a provider alone for seconds after calls of this process failed on this machine, by kind of work; other
    workers take the rows meanwhile. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._of: dict[tuple[Step, str], Cooldown] = {}
        self._turns: dict[Hashable, datetime] = {}

    def cover(self, step: Step, provider: str, now: datetime) -> bool:
        """Return whether the provider is in cooldown now."""
        with self._lock:
            found = self._of.get((step, provider))
            return found is not None and found.covers(now)

    def begin(self, step: Step, provider: str, now: datetime) -> None:
        """Begin a cooldown after a call that failed here; each one is a little longer."""
        with self._lock:
            self._of[(step, provider)] = cooled(self._of.get((step, provider)), now)

    def end(self, step: Step, provider: str) -> None:
        """End the cooldown: a call got through."""
        with self._lock:
            self._of.pop((step, provider), None)

    def take_turn(self, what: Hashable, now: datetime, span: timedelta = TOLD_FOR) -> bool:
        """Return whether `what` is to be written now; if so, not again within `span`."""
        with self._lock:
            last = self._turns.get(what)
            if last is not None and last <= now < last + span:
                return False
            self._turns[what] = now
            return True

    def forget_turn(self, what: Hashable) -> None:
        """Let `what` be written again at once."""
        with self._lock:
            self._turns.pop(what, None)
