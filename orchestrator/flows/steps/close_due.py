"""Close unneeded placements until there is proof. A close is never given up silently."""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta

from orchestrator.flows.engine.batch import Tally
from orchestrator.flows.engine.pipeline import run_once
from orchestrator.flows.engine.services import Services, close_lease
from orchestrator.flows.lifecycle import failover, transitions
from orchestrator.flows.lifecycle.due_stops import after_stops
from orchestrator.flows.steps.claims import (
    Answer,
    Claimed,
    Held,
    NotBegun,
    StepTimes,
    flow_of,
    under_lease,
)
from orchestrator.flows.steps.give_back import give_back
from orchestrator.flows.steps.targets import target_of
from orchestrator.flows.upstream import witness
from orchestrator.observability import metrics
from orchestrator.providers.port.driver import Closed, Driver, Target
from orchestrator.providers.port.errors import NotClosed, ProviderError, failed_here_in
from orchestrator.rules.events import ownership_lost
from orchestrator.rules.states import PlacementState, Step
from orchestrator.rules.upstream import local_faults
from orchestrator.rules.upstream.retries import close_again_after
from orchestrator.rules.values import Placement, Policy
from orchestrator.store.transaction import Transaction

#: A close that was not claimed this long after it was due counts as unserved: no worker can do it.
UNSERVED_AFTER = timedelta(minutes=5)


async def _ask_to_close(services: Services, driver: Driver, one: Claimed) -> Closed:
    placement = one.placement
    if _cannot_be_closed_by_us(driver, placement):
        return _ended_by_itself(placement, one.at)
    timeout = services.policy(driver.name).close_timeout_seconds
    try:
        async with asyncio.timeout(timeout):
            target = target_of(services, placement, None, to_ping=False, now=one.at, send_by=one.send_by)
            return await _closed(services, driver, one, replace(target, judged_dead=one.judged_dead))
    except TimeoutError as error:
        raise NotClosed(f"no answer to the close within {timeout:g} s") from error


async def _closed(services: Services, driver: Driver, one: Claimed, target: Target) -> Closed:
    try:
        return await driver.close(target)
    except NotClosed as error:
        return await witness.closed_or_ended(services, driver, one.placement, error, one.at)


def _terms(policy: Policy) -> StepTimes:
    return StepTimes(lease=close_lease(policy), timeout=policy.close_timeout_seconds)


def mark_unserved(services: Services, limit: int = 100) -> int:
    """Mark closes as unproven that are long overdue, because no worker has their provider or secret."""

    def mark(tx: Transaction) -> int:
        now = tx.now()
        found = tx.placements.unserved(now - UNSERVED_AFTER, limit)
        for placement in found:
            said = placement.last_answer or "no worker tries it: its provider or its secret is missing here"
            tx.placements.save(placement, replace(placement, unproven_since=now, last_answer=said))
        return len(found)

    return services.database.transact(mark)


def settle_close(services: Services, answer: Answer[Closed]) -> None:
    """Save the proof; without one, save the answer and when to retry."""
    if isinstance(answer.said, NotBegun):
        give_back(services, answer)
        return

    def settle(tx: Transaction) -> float | None:
        held = under_lease(services, tx, answer)
        if held is None:
            return None
        lag, now = None, tx.now() if held.work is None else held.work.now
        closing = held.placement.state is PlacementState.CLOSING  # else an operator ended it meanwhile
        if held.lease_held and closing and isinstance(answer.said, Closed):
            _proven(tx, held, answer.said, now)
            lag = _lag(held, now)
        elif (
            held.lease_held and closing and isinstance(answer.said, ProviderError)
        ):  # without the lease it is another's to say
            _unproven(services, tx, held.placement, answer.said, now)
        if held.work is not None:
            held.work.finish()
        return lag

    lag = after_stops(services, settle)
    if lag is not None:
        metrics.CLOSE_LAG.observe(max(lag, 0.0))


CLOSE = flow_of(Step.CLOSE, _terms, _ask_to_close, settle_close)


def close_due(services: Services) -> Tally:
    """Close every due placement that this process has a free slot for."""
    return run_once(services, CLOSE)


def _proven(tx: Transaction, held: Held, said: Closed, now: datetime) -> None:
    transitions.end_closed(tx, held.placement, said.proof, now)
    if said.foreign_handle is not None:
        tx.outbox.add([ownership_lost(held.placement, said.foreign_handle)])
    if held.work is not None and held.session is not None:
        failover.finish_if_closed(held.work, held.session)


def _lag(held: Held, now: datetime) -> float | None:
    """Return the seconds from the instant at which the stop took effect."""
    stopped_at = held.session.stopped_at if held.session is not None else None
    return (now - stopped_at).total_seconds() if stopped_at is not None else None


def _unproven(
    services: Services, tx: Transaction, placement: Placement, error: ProviderError, now: datetime
) -> None:
    policy = services.policy(placement.provider)
    if (
        placement.unproven_since is None and placement.account_id is not None
    ):  # when it becomes our debt is known
        tx.queues.wake_next_queued(placement.account_id, now)
    wait = close_again_after(failed_here_in(error), placement.attempts, policy, services.jitter())
    tx.placements.save(
        placement,
        replace(
            placement,
            unproven_since=placement.unproven_since or now,
            last_answer=str(error),
            next_step=Step.CLOSE,
            next_step_at=now + timedelta(seconds=wait),
            lease_token=None,
            lease_until=None,
            attempts=local_faults.attempts_after(failed_here_in(error), placement.attempts),
        ),
    )


def _ended_by_itself(orphan: Placement, now: datetime | None) -> Closed:
    """Return the declared end as the proof, where a key is the only address. Raises NotClosed before it; without a
    declared end, an operator must force the close."""
    end = orphan.declared_end_at
    if end is None or now is None or now < end:
        outlook = f"ends by itself at {end:%Y-%m-%d %H:%M:%S} UTC" if end else "may live for ever"
        raise NotClosed(f"an orphan that nothing here can close by its id: it {outlook}")
    return Closed(proof=f"an orphan; the platform's own end at {end} has passed")


def _cannot_be_closed_by_us(driver: Driver, placement: Placement) -> bool:
    return placement.session_id is None and not driver.card.closes_by_id
