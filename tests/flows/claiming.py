"""Claims at one provider, for tests that carry out the parts of a ping by themselves."""

from collections.abc import Sequence
from functools import partial

from orchestrator.flows.engine.claiming import claim_at
from orchestrator.flows.engine.services import Services
from orchestrator.flows.steps.ping import claim_pings as claims
from orchestrator.flows.steps.ping.claim_pings import ClaimedPing
from orchestrator.rules.states import Step


def claim_pings(services: Services, provider: str) -> Sequence[ClaimedPing]:
    """Lease due pings at one provider, each with a slot."""
    return claim_at(services, Step.PING, provider, partial(claims.claim_pings, services))
