"""Resolve opens that lost their answer: adopt, close, or find that nothing was opened. Never a blind second open."""

import asyncio

from orchestrator.flows.engine.batch import Tally
from orchestrator.flows.engine.pipeline import run_once
from orchestrator.flows.engine.services import Services
from orchestrator.flows.steps.claims import Claimed, flow_of
from orchestrator.flows.steps.open_due import is_to_be_closed, open_terms, settle_open
from orchestrator.flows.steps.targets import order_of
from orchestrator.flows.upstream import witness
from orchestrator.providers.port.driver import Driver, NotPlaced, Placed
from orchestrator.providers.port.errors import OutcomeUnknown
from orchestrator.rules.states import Step


async def ask_to_resolve(services: Services, driver: Driver, one: Claimed) -> Placed | NotPlaced:
    timeout = services.policy(driver.name).open_timeout_seconds
    unwanted = is_to_be_closed(driver.card, one.placement)
    try:
        async with asyncio.timeout(timeout):
            order = order_of(services, one)
            found = await driver.resolve(order, close=unwanted)
            if unwanted or isinstance(found, NotPlaced):
                return found
            return await witness.adopted(services, driver, one.placement, order, found)
    except TimeoutError as error:
        raise OutcomeUnknown(f"no answer to the resolve within {timeout:g} s") from error


RESOLVE = flow_of(Step.RESOLVE, open_terms, ask_to_resolve, settle_open)


def resolve_due(services: Services) -> Tally:
    """Resolve every due placement that this process has a free slot for."""
    return run_once(services, RESOLVE)
