"""Count what pings cost at a provider and what they answered, whichever step sent them."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from orchestrator.flows.engine.services import Services
from orchestrator.flows.engine.waiting_counts import SentPings
from orchestrator.providers.port.driver import Closed, Placed
from orchestrator.providers.port.errors import ProviderError
from orchestrator.rules.billing.money import MICRO
from orchestrator.rules.installation.minutes import minute_of, ping_counts
from orchestrator.rules.values.minutes import PingCounts
from orchestrator.store.database import StoreOutage
from orchestrator.store.transaction import Transaction

log = logging.getLogger(__name__)


def save_counts(services: Services, *, at_once: bool = True) -> None:
    """Count the pings that wait for it, if that is due, or `at_once`."""
    waiting = services.waiting_counts.take(at_once=at_once)
    if waiting:
        count_apart(services, waiting)


def count_apart(services: Services, sent_at: Mapping[str, SentPings]) -> None:
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
        services.database.transact(count)
    except StoreOutage as error:  # their cost is lost; the answers are still to be settled
        pings = sum(one.pings for one in counted.values())
        log.warning("%d pings at %s are not metered: %s", pings, ", ".join(counted), error)


def count_of_answer(services: Services, provider: str, said: object) -> None:
    """Count the ping of an open or a close, where its driver sent one."""
    probe = said.probe if isinstance(said, Placed | Closed | ProviderError) else None
    if probe is not None:
        count_apart(services, {provider: SentPings(probes=[probe])})


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
