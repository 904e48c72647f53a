"""What pings cost at a provider and what they answered, whichever step sent them: they wait here until that is saved,
about once a second while pings are claimed, and when none is due or under way. A transaction for each settlement would
cost an eighth of all that pings cost."""

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from orchestrator.providers.port.driver import Closed, Placed, Probe
from orchestrator.providers.port.errors import ProviderError
from orchestrator.rules.billing.money import MICRO
from orchestrator.rules.installation.minutes import minute_of, ping_counts
from orchestrator.rules.values.minutes import PingCounts
from orchestrator.store.database import Database, StoreOutage
from orchestrator.store.transaction import Transaction

log = logging.getLogger(__name__)

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


def save_counts(database: Database, counts: WaitingCounts, *, at_once: bool = True) -> None:
    """Count the pings that wait for it, if that is due, or `at_once`."""
    waiting = counts.take(at_once=at_once)
    if waiting:
        count_apart(database, waiting)


def count_apart(database: Database, sent_at: Mapping[str, SentPings]) -> None:
    """Add the pings to the meters of their providers, and to this minute, in one short transaction that locks nothing
    else. A ping that had not begun cost nothing."""
    counted = {provider: _counted(sent) for provider, sent in sorted(sent_at.items())}
    counted = {provider: one for provider, one in counted.items() if one.pings}
    if not counted:
        return

    def count(tx: Transaction) -> None:
        minute = minute_of(tx.now())
        for provider, one in counted.items():
            cost = one.counts
            tx.meters.count(provider, pings=one.pings, tokens=cost.tokens, cost_usd=cost.cost_usd)
            tx.minutes.count(provider, minute, cost)

    try:
        database.transact(count)
    except StoreOutage as error:  # their cost is lost; the answers are still to be settled
        pings = sum(one.pings for one in counted.values())
        log.warning("%d pings at %s are not metered: %s", pings, ", ".join(counted), error)


def count_of_answer(database: Database, provider: str, said: object) -> None:
    """Count the ping of an open or a close, where its driver sent one."""
    probe = said.probe if isinstance(said, Placed | Closed | ProviderError) else None
    if probe is not None:
        count_apart(database, {provider: SentPings(probes=[probe])})


@dataclass(frozen=True, kw_only=True, slots=True)
class _Counted:
    pings: int
    counts: PingCounts


def _counted(sent: SentPings) -> _Counted:
    probes = [probe for probe in sent.probes if not probe.not_begun]
    dollars = sum((Decimal(probe.cost_usd) for probe in probes if probe.cost_usd), Decimal(0))
    counts = ping_counts(
        [(probe.verdict, probe.latency_ms) for probe in probes],
        tokens=sum(probe.tokens for probe in probes),
        cost_usd=dollars.quantize(MICRO),
        began=sent.began,
    )
    return _Counted(pings=len(probes), counts=counts)
