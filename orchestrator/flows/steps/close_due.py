"""Close unneeded placements until there is proof. A close is never given up silently.

Many proven closes are settled in one transaction where only the proof changes: placements are closed, and their
sessions stopped. Any other answer is settled on its own."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, TypeAlias

from orchestrator.flows.engine.batch import Tally
from orchestrator.flows.engine.crowd import AccountBusy
from orchestrator.flows.engine.pipeline import run_once
from orchestrator.flows.engine.provider_steps import Answer, Claimed, Postponed
from orchestrator.flows.engine.services import Services, close_lease
from orchestrator.flows.lifecycle import failover, transitions
from orchestrator.flows.lifecycle.due_stops import LockedAccounts, finish_all, lock_many, run_after_stops
from orchestrator.flows.steps.placement_steps import Held, PlacementStep, StepTimes, lock_under_lease
from orchestrator.flows.steps.targets import target_of
from orchestrator.flows.upstream import witness
from orchestrator.observability import metrics
from orchestrator.providers.port.driver import Closed, Driver, Target
from orchestrator.providers.port.errors import NotClosed, ProviderError, failure_of
from orchestrator.rules.events import ownership_lost
from orchestrator.rules.states import PlacementState, State, Step
from orchestrator.rules.upstream import placements as rule
from orchestrator.rules.values import Placement, Policy, Session
from orchestrator.store.transaction import Transaction

log = logging.getLogger(__name__)

#: Closes settled in one transaction, which bounds how long jobs of their accounts wait.
AT_ONCE = 100
CloseAnswer: TypeAlias = Answer[Any, Any]


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
                lag = _lag(held.session, now)
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


def _lag(session: Session | None, now: datetime) -> float | None:
    """Return the seconds from the instant at which the stop took effect."""
    stopped_at = session.stopped_at if session is not None else None
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


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of answers, by the ids of their placements."""

    lags: dict[str, float | None] = field(default_factory=dict)
    """Settled: the seconds from each stop to the proof, where they are known."""
    held: set[str] = field(default_factory=set)
    """Not settled, because another transaction holds their accounts, or stops of these come first."""


def settle_proven(services: Services, answers: Sequence[CloseAnswer]) -> Settled:
    """Settle those that can be settled together; any other that is not held is to be settled on its own. Accounts that
    another transaction holds are waited for only where nothing else is to be done."""
    done = Settled()
    proven = [one for one in answers if _only_proves(one)]
    for n in range(0, len(proven), AT_ONCE):
        some = _settle(services, proven[n : n + AT_ONCE], waits=False)
        done.lags.update(some.lags)
        done.held.update(some.held)
    if len(done.held) < len(answers):
        return done
    return _settle_by_account(services, answers)


def _settle_by_account(services: Services, answers: Sequence[CloseAnswer]) -> Settled:
    """Settle these account by account, and wait for each account as long as one may."""
    done = Settled()
    for account_id in sorted({_account_of(one) for one in answers}):
        some = _settle(services, [one for one in answers if _account_of(one) == account_id], waits=True)
        done.lags.update(some.lags)
        done.held.update(some.held)
    return done


def _account_of(answer: CloseAnswer) -> str:
    return answer.claimed.placement.account_id or ""


def _only_proves(answer: CloseAnswer) -> bool:
    """Return whether the answer may change only what is proven. A key that allows one call at a time is released
    with the answer, and a foreign session under a key is reported."""
    placement, said = answer.claimed.placement, answer.said
    has_session = placement.session_id is not None and placement.account_id is not None
    is_plain = has_session and not (placement.serialised and placement.credential is not None)
    return is_plain and isinstance(said, Closed) and said.foreign_handle is None


def _settle(services: Services, answers: Sequence[CloseAnswer], *, waits: bool) -> Settled:
    """Settle these in one transaction; where it fails, none of them. `waits`: for the lock of their one account."""

    def settle(tx: Transaction) -> Settled:
        accounts = lock_many(services, tx, {_account_of(one) for one in answers}, waits=waits)
        ready = accounts.ready
        lags = _prove(tx, accounts, [one for one in answers if _account_of(one) in ready])
        held = [one for one in answers if _account_of(one) not in ready] if not waits else []
        return Settled(lags, {one.claimed.placement.id for one in held})

    try:
        return services.database.transact(settle)
    except AccountBusy:
        return Settled(held={one.claimed.placement.id for one in answers})
    except Exception as error:  # noqa: BLE001  (each is settled on its own, and logged there if it fails again)
        log.debug("%d closes are settled one by one: %s", len(answers), type(error).__name__)
        return Settled()


def _prove(
    tx: Transaction, accounts: LockedAccounts, answers: Sequence[CloseAnswer]
) -> dict[str, float | None]:
    """Lock sessions, then placements, and save the proofs of closes with a lease that still holds."""
    sessions = tx.sessions.lock_all({one.claimed.placement.session_id or "" for one in answers})
    placements = tx.placements.lock_of(list(sessions))
    lags: dict[str, float | None] = {}
    ended: list[Placement] = []
    with tx.together():
        for answer in answers:
            claimed = answer.claimed
            session = sessions.get(claimed.placement.session_id or "")
            known = {} if session is None else {one.id: one for one in placements[session.id]}
            placement = known.get(claimed.placement.id)
            if session is None or placement is None or not isinstance(answer.said, Closed):
                continue
            if not _holds(answer, placement, session):
                continue
            work = accounts.ready[session.account_id]
            closed = transitions.close_quietly(tx, placement, answer.said.proof, work.now)
            placements[session.id] = [closed if one.id == closed.id else one for one in known.values()]
            sessions[session.id] = failover.finish_if_ended(work, session, placements[session.id])
            ended.append(closed)
            lags[placement.id] = _lag(session, work.now)
        transitions.wake_for_places(tx, ended)
        finish_all([*accounts.ready.values(), *accounts.behind])
    return lags


def _holds(answer: CloseAnswer, placement: Placement, session: Session) -> bool:
    """Return whether the close is still this worker's to settle, and its session only waits for it."""
    has_lease = placement.lease is not None and placement.lease.token == answer.claimed.token
    closing = placement.state is PlacementState.CLOSING
    return has_lease and closing and session.state is State.STOPPING and session.stop_reason is not None
