"""Count what pings cost at a provider, whichever step sent them."""

import logging
from collections.abc import Sequence
from decimal import Decimal

from orchestrator.flows.engine.services import Services
from orchestrator.providers.port.driver import Closed, Placed, Probe
from orchestrator.providers.port.errors import ProviderError
from orchestrator.rules.billing.money import MICRO
from orchestrator.store.database import StoreOutage

log = logging.getLogger(__name__)


def count_apart(services: Services, provider: str, probes: Sequence[Probe]) -> None:
    """Add the pings to the provider's meter, in a short transaction that locks nothing else. A ping that had not begun
    cost nothing."""
    sent = [probe for probe in probes if not probe.not_begun]
    if not sent:
        return
    cost = sum((Decimal(probe.cost_usd) for probe in sent if probe.cost_usd), Decimal(0)).quantize(MICRO)
    tokens = sum(probe.tokens for probe in sent)
    try:
        services.database.transact(
            lambda tx: tx.meters.count(provider, pings=len(sent), tokens=tokens, cost_usd=cost)
        )
    except StoreOutage as error:  # their cost is lost; the answers are still to be settled
        log.warning("%d pings at %s are not metered: %s", len(sent), provider, error)


def count_of_answer(services: Services, provider: str, said: object) -> None:
    """Count the ping of an open or a close, where its driver sent one."""
    probe = said.probe if isinstance(said, Placed | Closed | ProviderError) else None
    if probe is not None:
        count_apart(services, provider, [probe])
