"""Cooldowns of one process: it leaves a provider alone for seconds after its own calls failed on this machine."""

import threading
from collections.abc import Hashable
from datetime import datetime, timedelta

from orchestrator.rules.states import Step
from orchestrator.rules.upstream.local_faults import Cooldown, cooled

#: An open alarm is written again after this.
TOLD_FOR = timedelta(seconds=10)


class Cooldowns:
    """Cooldowns by kind of work and provider; other workers take the rows meanwhile. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._of: dict[tuple[Step, str], Cooldown] = {}
        self._told: dict[Hashable, datetime] = {}

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
            last = self._told.get(what)
            if last is not None and last <= now < last + span:
                return False
            self._told[what] = now
            return True

    def forget_turn(self, what: Hashable) -> None:
        """Let `what` be written again at once."""
        with self._lock:
            self._told.pop(what, None)
