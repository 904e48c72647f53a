"""Resolve opens whose answer was lost: adopt, close, or find that nothing was opened. Never a blind second open."""

import asyncio

from orchestrator.flows import late_answers
from orchestrator.flows.claims import Answer, Claimed, NotBegun, act_and_settle, claim, under_lease
from orchestrator.flows.giving_back import give_back
from orchestrator.flows.open_due import after_open, open_terms
from orchestrator.flows.services import Services
from orchestrator.flows.targets import order_of
from orchestrator.flows.upkeep import Tally
from orchestrator.providers.driver import Driver, NotPlaced, OutcomeUnknown, Placed
from orchestrator.rules.states import Step
from orchestrator.store.unit import Transaction


def resolve_due(services: Services) -> Tally:
    """Resolve every due placement that this process has a free slot for."""
    claimed = claim(services, Step.RESOLVE, open_terms)

    async def question(driver: Driver, one: Claimed) -> Placed | NotPlaced:
        timeout = services.policy(driver.name).open_timeout_seconds
        unwanted = one.placement.closing_since is not None
        try:
            async with asyncio.timeout(timeout):
                order = order_of(services, one)
                return await driver.resolve(order, close=unwanted)
        except TimeoutError as error:
            raise OutcomeUnknown(f"no answer to the resolve within {timeout:g} s") from error

    return act_and_settle(services, Step.RESOLVE, claimed, question, settle_resolve)


def settle_resolve(services: Services, answer: Answer[Placed | NotPlaced]) -> None:
    """Write what became of it; a stop that came meanwhile closes what was adopted."""
    if isinstance(answer.said, NotBegun):
        give_back(services, answer)
        return

    def settle(tx: Transaction) -> None:
        held = under_lease(services, tx, answer)
        if held is None:
            return
        if not held.lease_held:
            late_answers.record(services, tx, held, answer)
        elif held.work is not None and held.session is not None:
            after_open(held.work, held.session, held.placement, answer)
        if held.work is not None:
            held.work.finish()

    services.database.transact(settle)
