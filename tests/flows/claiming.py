"""Claims at one provider, for tests that carry out the parts of a ping by themselves."""

from collections.abc import Sequence

from orchestrator.flows.engine.provider_steps import claim_at
from orchestrator.flows.engine.services import Services
from orchestrator.flows.steps.ping.ping_due import PING
from orchestrator.flows.steps.ping.send_pings import ClaimedPing


def claim_pings(services: Services, provider: str) -> Sequence[ClaimedPing]:
    """Lease due pings at one provider, each with a slot."""
    return claim_at(services, PING, provider)
