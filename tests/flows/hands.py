"""A worker that runs its three verbs one by one, so that a story can crash or delay it in between."""

from collections.abc import Mapping
from typing import Any

from orchestrator.flows.engine.provider_steps import (
    Answer,
    Claimed,
    ProviderStep,
    ask,
    claim_at,
    claim_everywhere,
    release,
    settle,
)
from orchestrator.flows.engine.services import Services
from orchestrator.flows.steps.close_due import CLOSE
from orchestrator.flows.steps.open_due import OPEN, OpenStep
from orchestrator.flows.steps.ping.ping_due import PING
from orchestrator.flows.steps.placement_steps import PlacementStep
from orchestrator.flows.steps.resolve_due import RESOLVE
from orchestrator.flows.steps.targets import OpenContext, order_of
from orchestrator.providers.port.driver import Driver, Placed
from orchestrator.rules.states import Step

STEPS: Mapping[Step, ProviderStep[Any, Any]] = {one.step: one for one in (OPEN, RESOLVE, CLOSE, PING)}


class _OpenAllTheSame(OpenStep):
    """Send the open, though the lease was lost after the last look at it."""

    async def ask(self, services: Services, driver: Driver, claimed: Claimed[OpenContext]) -> Placed:
        return await driver.open(order_of(services, claimed))


class Hands:
    """One worker process, run by hand."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def claim(self, step: Step) -> list[Claimed[Any]]:
        """Claim everything that is due for this step."""
        return claim_everywhere(self._services, STEPS[step])

    def claim_one(self, step: Step) -> Claimed[Any]:
        """Claim the one placement that is due."""
        [claimed] = self.claim(step)
        return claimed

    def act(self, claimed: Claimed[Any]) -> Answer[Any, Any]:
        """Call the provider; its answer is not written yet."""
        return self._services.loop.run(ask(self._services, STEPS[claimed.step], claimed))

    def act_all_the_same(self, claimed: Claimed[Any]) -> Answer[Any, Any]:
        """Send the open, though the lease was lost after the last look at it."""
        return self._services.loop.run(ask(self._services, _OpenAllTheSame(), claimed))

    def opened(self, claimed: Claimed[Any]) -> tuple[Answer[Any, Any], str]:
        """Open at the provider, successfully; return the answer, and the handle in it."""
        answer = self.act(claimed)
        assert isinstance(answer.said, Placed), answer.said
        return answer, answer.said.handle

    def settle(self, *answers: Answer[Any, Any]) -> None:
        """Write them down. A failure is raised."""
        pings = [answer for answer in answers if answer.claimed.step is Step.PING]
        settle(self._services, PING, pings)
        for answer in answers:
            step = STEPS[answer.claimed.step]
            if isinstance(step, PlacementStep):
                release(self._services, step, [answer.claimed])
                step.settle_or_give_back(self._services, answer)

    def ping(self, provider: str) -> list[Answer[Any, Any]]:
        """Claim the pings that are due there, and send them; nothing is written."""
        return [self.act(claimed) for claimed in claim_at(self._services, PING, provider)]
