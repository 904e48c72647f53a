"""Resolve opens that lost their answer: adopt, close, or find that nothing was opened. Never a blind second open."""

import asyncio

from orchestrator.flows.engine.batch import Tally
from orchestrator.flows.engine.pipeline import run_once
from orchestrator.flows.engine.provider_steps import Claimed
from orchestrator.flows.engine.services import Services
from orchestrator.flows.steps.open_due import OpeningStep
from orchestrator.flows.steps.targets import OpenContext, order_of
from orchestrator.flows.upstream import witness
from orchestrator.providers.port.driver import Driver, NotPlaced, Placed
from orchestrator.providers.port.errors import OutcomeUnknown
from orchestrator.rules.states import Step
from orchestrator.rules.upstream.placements import is_unwanted


class ResolveStep(OpeningStep[Placed | NotPlaced]):
    """Find out what an open without an answer has opened."""

    step = Step.RESOLVE

    async def ask(
        self, services: Services, driver: Driver, claimed: Claimed[OpenContext]
    ) -> Placed | NotPlaced:
        """Look for what the open may have opened, and end it if it is not wanted."""
        timeout = services.policy(driver.name).open_timeout_seconds
        unwanted = is_unwanted(claimed.placement, frees_key=driver.card.identity.frees_key)
        try:
            async with asyncio.timeout(timeout):
                order = order_of(services, claimed)
                found = await driver.resolve(order, close=unwanted)
                if unwanted or isinstance(found, NotPlaced):
                    return found
                return await witness.adopted(services, driver, claimed.placement, order, found)
        except TimeoutError as error:
            raise OutcomeUnknown(f"no answer to the resolve within {timeout:g} s") from error


RESOLVE = ResolveStep()


def resolve_due(services: Services) -> Tally:
    """Resolve every due placement that this process has a free slot for."""
    return run_once(services, RESOLVE)
