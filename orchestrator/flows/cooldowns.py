"""Where one process leaves a provider alone for seconds, as its own calls failed on this machine."""

import threading
from datetime import datetime, timedelta

from orchestrator.rules.local_faults import Cooldown, LocalFault, cooled
from orchestrator.rules.states import Step

#: An alarm that is open is written again after this.
TOLD_FOR = timedelta(seconds=10)


class Cooldowns:
    """By kind of work and provider; other workers take the rows meanwhile. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._of: dict[tuple[Step, str], Cooldown] = {}
        self._told: dict[LocalFault, datetime] = {}

    def cover(self, step: Step, provider: str, now: datetime) -> bool:
        """Return whether the provider is left alone now."""
        with self._lock:
            found = self._of.get((step, provider))
            return found is not None and found.covers(now)

    def begin(self, step: Step, provider: str, now: datetime) -> None:
        """A call failed here: leave the provider alone, each time a little longer."""
        with self._lock:
            self._of[(step, provider)] = cooled(self._of.get((step, provider)), now)

    def end(self, step: Step, provider: str) -> None:
        """A call got through."""
        with self._lock:
            self._of.pop((step, provider), None)

    def take_turn(self, fault: LocalFault, now: datetime) -> bool:
        """Return whether the fault's alarm is to be written now; then not again for ten seconds."""
        with self._lock:
            last = self._told.get(fault)
            if last is not None and last <= now < last + TOLD_FOR:
                return False
            self._told[fault] = now
            return True
