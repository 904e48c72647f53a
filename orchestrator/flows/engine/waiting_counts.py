"""What the pings of this process cost and answered, until that is saved: about once a second while pings are claimed,
and when none is due or under way. A transaction for each settlement would cost an eighth of all that pings cost."""

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from orchestrator.providers.port.driver import Probe

#: Seconds between two saves while pings are under way.
SAVED_EVERY = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class SentPings:
    """Pings of one provider that came back together."""

    probes: Sequence[Probe]
    began: Sequence[timedelta] = ()
    """How long each session took to start that runs since one of these pings."""


class WaitingCounts:
    """Pings that came back, by provider. Thread-safe. A process that dies loses them: they decide nothing."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sent: dict[str, list[SentPings]] = {}
        self._taken_at = 0.0

    def add(self, sent_at: Mapping[str, SentPings]) -> None:
        """Add pings that came back."""
        with self._lock:
            for provider, sent in sent_at.items():
                self._sent.setdefault(provider, []).append(sent)

    def take(self, *, at_once: bool) -> Mapping[str, SentPings]:
        """Return what is to be saved now: nothing within a second of the last time, unless `at_once`."""
        with self._lock:
            if not at_once and time.monotonic() < self._taken_at + SAVED_EVERY:
                return {}
            taken, self._sent, self._taken_at = self._sent, {}, time.monotonic()
        return {provider: _joined(parts) for provider, parts in taken.items()}


def _joined(parts: Sequence[SentPings]) -> SentPings:
    return SentPings(
        probes=[probe for part in parts for probe in part.probes],
        began=[span for part in parts for span in part.began],
    )
