"""Open due placements, and settle the provider's answers. Each placement's row was written before."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TypeVar

from orchestrator.flows.engine.batch import Tally
from orchestrator.flows.engine.pipeline import run_once
from orchestrator.flows.engine.provider_steps import Answer, Claimed
from orchestrator.flows.engine.services import Services, open_lease
from orchestrator.flows.lifecycle.due_stops import run_after_stops
from orchestrator.flows.steps.after_open import settle_answer
from orchestrator.flows.steps.placement_steps import PlacementStep, StepTimes, lock_under_lease, record_late
from orchestrator.flows.steps.targets import OpenContext, order_of
from orchestrator.providers.port.driver import Driver, NotPlaced, Placed
from orchestrator.providers.port.errors import KeyNotFree, NotSent, OutcomeUnknown
from orchestrator.rules.states import Step
from orchestrator.rules.values import Placement, Policy
from orchestrator.store.transaction import Transaction

#: Handles of placements that ended this long before an open cannot be mistaken for its own.
REMEMBERED = timedelta(days=2)


class _Freeing:
    """The freeing of a key before an open under it. The open may be sent once the freeing is over and saved."""

    def __init__(self, services: Services, one: Claimed[OpenContext]) -> None:
        self._services, self._one = services, one
        self.over = False

    async def finish(self) -> None:
        """Note that the key was freed. Raises NotSent where another worker has taken over the open."""
        placement, token = self._one.placement, self._one.token

        def note(tx: Transaction) -> bool:
            return tx.claims.note_freed(placement.id, token, tx.now())

        if not await self._services.loop.beside(self._services.database.transact, note):
            raise NotSent("the lease was lost while the key was freed")
        self.over = True


A = TypeVar("A", bound=Placed | NotPlaced)


class OpeningStep(PlacementStep[OpenContext, A]):
    """What an open and its resolve have in common."""

    def times(self, policy: Policy) -> StepTimes:
        """Return the times of an open and of its resolve."""
        return StepTimes(lease=open_lease(policy), timeout=policy.open_timeout_seconds)

    def contexts(
        self, services: Services, tx: Transaction, provider: str, claimed: Sequence[Placement]
    ) -> Callable[[Placement], OpenContext]:
        """Return the data by which the driver recognises our resources in the platform's list."""
        card = services.card(provider)
        if card is None or not card.status.can_list or not claimed:
            return lambda _placement: OpenContext()
        since = {one.id: (one.sent_at or one.created_at) - REMEMBERED for one in claimed}
        handles = tx.placements.handles_since(provider, since)
        return lambda one: OpenContext(handles=handles[one.id], rivals=tx.placements.rivals(one))

    def settle_one(self, services: Services, answer: Answer[OpenContext, A]) -> None:
        """Save the outcome of an open, or what its resolve found. Without the lease, save the handle only."""

        def settle(tx: Transaction) -> None:
            held = lock_under_lease(services, tx, answer)
            if held is None:
                return
            if not held.lease_held:
                record_late(services, tx, held, answer)
            elif held.work is not None and held.session is not None:
                settle_answer(held.work, held.session, held.placement, answer.said, self.step)
            if held.work is not None:
                held.work.finish()

        run_after_stops(services, settle)


class OpenStep(OpeningStep[Placed]):
    """Open a placement. An answer that is lost makes it unknown, and the resolve finds out."""

    step = Step.OPEN

    def fallback_seconds(self, services: Services, provider: str) -> float:
        """Return after how long the effect of an open must show."""
        return services.resolve_after(provider)

    async def ask(self, services: Services, driver: Driver, claimed: Claimed[OpenContext]) -> Placed:
        """Open the session at the platform."""
        timeout = services.policy(driver.name).open_timeout_seconds
        freeing = _Freeing(services, claimed)
        try:
            async with asyncio.timeout(timeout):
                return await driver.open(replace(order_of(services, claimed), freed=freeing.finish))
        except TimeoutError as error:
            if driver.card.identity.frees_key and not freeing.over:
                raise KeyNotFree(
                    f"not opened, as the key was not free within {timeout:g} s", late=True
                ) from error
            raise OutcomeUnknown(
                f"no answer to the open within {timeout:g} s", possible_orphans=True
            ) from error


OPEN = OpenStep()


def open_due(services: Services) -> Tally:
    """Open every due placement that this process has a free slot for."""
    return run_once(services, OPEN)
