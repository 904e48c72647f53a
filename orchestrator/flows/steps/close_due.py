"""Close unneeded placements until there is proof. A close is never given up silently."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from orchestrator.flows.engine.batch import Tally
from orchestrator.flows.engine.pipeline import run_once
from orchestrator.flows.engine.provider_steps import Answer, Claimed, Postponed
from orchestrator.flows.engine.services import Services, close_lease
from orchestrator.flows.lifecycle import failover, transitions
from orchestrator.flows.lifecycle.due_stops import run_after_stops
from orchestrator.flows.steps.placement_steps import Held, PlacementStep, StepTimes, lock_under_lease
from orchestrator.flows.steps.proven_closes import AT_ONCE, settle_proven
from orchestrator.flows.steps.targets import target_of
from orchestrator.flows.upstream import witness
from orchestrator.observability import metrics
from orchestrator.providers.port.driver import Closed, Driver, Target
from orchestrator.providers.port.errors import NotClosed, ProviderError, failure_of
from orchestrator.rules.events import ownership_lost
from orchestrator.rules.states import PlacementState, Step
from orchestrator.rules.upstream import placements as rule
from orchestrator.rules.values import Placement, Policy
from orchestrator.store.transaction import Transaction


@dataclass(frozen=True, kw_only=True, slots=True)
class CloseContext:
    """What a close may need to know."""

    judged_dead: bool = False
    """Where the driver asks for it: the session stopped as dead."""


class CloseStep(PlacementStep[CloseContext, Closed]):
    """Close a placement, until there is proof."""

    step = Step.CLOSE
    chunk = AT_ONCE

    def times(self, policy: Policy) -> StepTimes:
        """Return the times of a close."""
        return StepTimes(lease=close_lease(policy), timeout=policy.close_timeout_seconds)

    def contexts(
        self, services: Services, tx: Transaction, provider: str, claimed: Sequence[Placement]
    ) -> Callable[[Placement], CloseContext]:
        """Return whether sessions stopped as dead, where the driver asks for it."""
        card = services.card(provider)
        if card is None or not card.lifecycle.asks_who_died:
            return lambda _placement: CloseContext()
        dead = tx.claims.stopped_as_dead({one.session_id for one in claimed if one.session_id})
        return lambda one: CloseContext(judged_dead=one.session_id in dead)

    async def ask(self, services: Services, driver: Driver, claimed: Claimed[CloseContext]) -> Closed:
        """Close at the platform; without a way to, wait for its own end."""
        placement = claimed.placement
        if rule.closes_by_its_own_end(placement, closes_by_id=driver.card.lifecycle.closes_by_id):
            return _ended_by_itself(placement, claimed.at)
        timeout = services.policy(driver.name).close_timeout_seconds
        try:
            async with asyncio.timeout(timeout):
                target = target_of(
                    services, placement, None, to_ping=False, now=claimed.at, send_by=claimed.send_by
                )
                target = replace(target, judged_dead=claimed.context.judged_dead)
                return await _closed(services, driver, claimed, target)
        except TimeoutError as error:
            raise NotClosed(f"no answer to the close within {timeout:g} s") from error

    def settle(self, services: Services, answers: Sequence[Answer[CloseContext, Closed]]) -> int:
        """Settle proven closes together, all others one by one. Raises Postponed."""
        done = settle_proven(services, answers)
        alone: list[Answer[CloseContext, Closed]] = []
        later: list[Answer[CloseContext, Closed]] = []
        for answer in answers:
            placement_id = answer.claimed.placement.id
            if placement_id in done.lags:
                _observe(done.lags[placement_id])
                self.note(services, answer)
            else:
                (later if placement_id in done.held else alone).append(answer)
        settled = len(done.lags)
        try:
            settled += super().settle(services, alone)
        except Postponed as postponed:
            later += postponed.later
        if later:
            raise Postponed(later)
        return settled

    def settle_one(self, services: Services, answer: Answer[CloseContext, Closed]) -> None:
        """Save the proof; without one, save the answer and when to retry."""

        def settle(tx: Transaction) -> float | None:
            held = lock_under_lease(services, tx, answer)
            if held is None:
                return None
            lag, now = None, tx.now() if held.work is None else held.work.now
            closing = held.placement.state is PlacementState.CLOSING  # else an operator ended it meanwhile
            if held.lease_held and closing and isinstance(answer.said, Closed):
                _settle_proven(tx, held, answer.said, now)
                lag = _lag(held, now)
            elif (
                held.lease_held and closing and isinstance(answer.said, ProviderError)
            ):  # without the lease it is another's to say
                _settle_unproven(services, tx, held.placement, answer.said, now)
            if held.work is not None:
                held.work.finish()
            return lag

        _observe(run_after_stops(services, settle))


CLOSE = CloseStep()


def close_due(services: Services) -> Tally:
    """Close every due placement that this process has a free slot for."""
    return run_once(services, CLOSE)


def mark_unserved(services: Services, limit: int = 100) -> int:
    """Mark closes as unproven that are long overdue, because no worker has their provider or secret."""

    def mark(tx: Transaction) -> int:
        now = tx.now()
        found = tx.placements.unserved(now - rule.UNSERVED_AFTER, limit)
        for placement in found:
            tx.placements.save(placement, rule.unserved(placement, now))
        return len(found)

    return services.database.transact(mark)


async def _closed(
    services: Services, driver: Driver, claimed: Claimed[CloseContext], target: Target
) -> Closed:
    try:
        return await driver.close(target)
    except NotClosed as error:
        return await witness.closed_or_ended(services, driver, claimed.placement, error, claimed.at)


def _settle_proven(tx: Transaction, held: Held, said: Closed, now: datetime) -> None:
    transitions.end_closed(tx, held.placement, said.proof, now)
    if said.foreign_handle is not None:
        tx.outbox.add([ownership_lost(held.placement, said.foreign_handle)])
    if held.work is not None and held.session is not None:
        failover.finish_if_closed(held.work, held.session)


def _observe(lag: float | None) -> None:
    if lag is not None:
        metrics.CLOSE_LAG.observe(max(lag, 0.0))


def _lag(held: Held, now: datetime) -> float | None:
    """Return the seconds from the instant at which the stop took effect."""
    stopped_at = held.session.stopped_at if held.session is not None else None
    return (now - stopped_at).total_seconds() if stopped_at is not None else None


def _settle_unproven(
    services: Services, tx: Transaction, placement: Placement, error: ProviderError, now: datetime
) -> None:
    if (
        placement.unproven_since is None and placement.account_id is not None
    ):  # when it becomes our debt is known
        tx.queues.wake_next_queued(placement.account_id, now)
    policy = services.policy(placement.provider)
    later = rule.without_proof(placement, failure_of(error), policy, services.jitter(), now)
    tx.placements.save(placement, later)


def _ended_by_itself(orphan: Placement, now: datetime | None) -> Closed:
    """Return the declared end as the proof, where a key is the only address. Raises NotClosed before it; without a
    declared end, an operator must force the close."""
    end = orphan.declared_end_at
    if not rule.is_past_its_end(orphan, now):
        outlook = f"ends by itself at {end:%Y-%m-%d %H:%M:%S} UTC" if end else "may run for ever"
        raise NotClosed(f"the platform cannot close this orphan by its id: it {outlook}")
    return Closed(proof=f"an orphan; the platform's own end at {end} has passed")
