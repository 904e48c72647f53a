"""Open due placements, and settle the provider's answers. Each placement's row was written before."""

import asyncio
from dataclasses import replace

from orchestrator.flows.engine.batch import Tally
from orchestrator.flows.engine.pipeline import run_once
from orchestrator.flows.engine.services import Services, open_lease
from orchestrator.flows.lifecycle.due_stops import after_stops
from orchestrator.flows.steps import late_answers
from orchestrator.flows.steps.after_open import Outcome, after_open, never_sent
from orchestrator.flows.steps.claims import Claimed, NotBegun, StepTimes, flow_of, under_lease
from orchestrator.flows.steps.give_back import give_back
from orchestrator.flows.steps.targets import order_of
from orchestrator.providers.port.card import Card
from orchestrator.providers.port.driver import Driver, Placed
from orchestrator.providers.port.errors import (
    KeyNotFree,
    NotSent,
    OutcomeUnknown,
)
from orchestrator.rules.states import Step
from orchestrator.rules.values import Placement, Policy
from orchestrator.store.transaction import Transaction


async def ask_to_open(services: Services, driver: Driver, one: Claimed) -> Placed:
    timeout = services.policy(driver.name).open_timeout_seconds
    freeing = _Freeing(services, one)
    try:
        async with asyncio.timeout(timeout):
            return await driver.open(replace(order_of(services, one), freed=freeing.is_over))
    except TimeoutError as error:
        if driver.card.frees_key and not freeing.over:
            raise KeyNotFree(
                f"not opened, as the key was not free within {timeout:g} s", late=True
            ) from error
        raise OutcomeUnknown(f"no answer to the open within {timeout:g} s", possible_orphans=True) from error


class _Freeing:
    """The freeing of a key before an open under it. The open may be sent once the freeing is over and saved."""

    def __init__(self, services: Services, one: Claimed) -> None:
        self._services, self._one = services, one
        self.over = False

    async def is_over(self) -> None:
        """Note that the key was freed. Raises NotSent where another worker has taken over the open."""
        placement, token = self._one.placement, self._one.token

        def note(tx: Transaction) -> bool:
            return tx.claims.note_freed(placement.id, token, tx.now())

        if not await self._services.loop.beside(self._services.database.transact, note):
            raise NotSent("the lease was lost while the key was freed")
        self.over = True


def is_to_be_closed(card: Card, placement: Placement) -> bool:
    """Return whether the resolve must end what it finds. It must if the placement is to be closed, if no open was sent
    for it, or if adopting it would repeat a failed open, which may open as many sessions as the first may have left."""
    failed = placement.orphans_at_most is not None
    return placement.closing_since is not None or failed or never_sent(card, placement)


def open_terms(policy: Policy) -> StepTimes:
    """Return the times of an open and of its resolve."""
    return StepTimes(lease=open_lease(policy), timeout=policy.open_timeout_seconds)


def settle_open(services: Services, answer: Outcome) -> None:
    """Save the outcome of an open, or what its resolve found. Without the lease, save the handle only."""
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

    after_stops(services, settle)


OPEN = flow_of(Step.OPEN, open_terms, ask_to_open, settle_open)


def open_due(services: Services) -> Tally:
    """Open every due placement that this process has a free slot for."""
    return run_once(services, OPEN)
