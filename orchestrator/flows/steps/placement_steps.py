"""Open, resolve and close: claim due placements, and settle each answer under its lease. What has not begun when a
worker leaves is given back, so that another worker takes it at once. After a lost lease nothing is called and nothing
decided, but every handle is kept."""

import logging
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeVar

from orchestrator.flows.engine import failures, metering
from orchestrator.flows.engine.crowd import AccountBusy
from orchestrator.flows.engine.provider_steps import (
    Answer,
    Claimed,
    NotBegun,
    Postponed,
    ProviderStep,
    claim_the_readable,
)
from orchestrator.flows.engine.services import Services
from orchestrator.flows.lifecycle import failover, orphans, transitions
from orchestrator.flows.lifecycle.account_work import AccountWork
from orchestrator.flows.lifecycle.due_stops import on_account
from orchestrator.flows.upstream import local_faults
from orchestrator.providers.port.driver import Placed
from orchestrator.providers.port.errors import failed_here_in
from orchestrator.rules.sessions.pings import spread
from orchestrator.rules.states import UNENDED, State, Step
from orchestrator.rules.text import is_usable_handle
from orchestrator.rules.upstream.placements import ends_at
from orchestrator.rules.values import Due, Placement, Policy, Session
from orchestrator.store.transaction import Transaction

C = TypeVar("C")
A = TypeVar("A")
log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class StepTimes:
    """Seconds of a claim's lease, and seconds that its call may take."""

    lease: float
    timeout: float


class PlacementStep(ProviderStep[C, A]):
    """One kind of call about a placement.

    A call must begin one timeout before its lease ends, or it never begins, so no call outlives its lease."""

    @abstractmethod
    def times(self, policy: Policy) -> StepTimes:
        """Return the times of a claim at a provider with this policy."""

    @abstractmethod
    def contexts(
        self, services: Services, tx: Transaction, provider: str, claimed: Sequence[Placement]
    ) -> Callable[[Placement], C]:
        """Return what the driver needs to know besides, for each placement that was claimed."""

    @abstractmethod
    def settle_one(self, services: Services, answer: Answer[C, A]) -> None:
        """Save one answer, under the lease. Raises AccountBusy."""

    def fallback_seconds(self, services: Services, provider: str) -> float:  # noqa: ARG002
        """Return how many seconds after its claim the fallback step is due; not before the lease expires."""
        return 0

    def claim(self, services: Services, provider: str, free: int) -> Sequence[Claimed[C]]:
        """Lease the due placements of a provider."""
        policy = services.policy(provider)
        times = self.times(policy)
        token, began = services.database.identity.new_token(), services.loop.time()
        begin_by, send_by = began + max(times.lease - times.timeout, 1), began + times.lease

        def claimed(tx: Transaction) -> list[Claimed[C]]:
            now = tx.now()
            if services.cooldowns.cover(self.step, provider, now):
                return []
            placements = tx.claims.claim(
                self.step,
                provider,
                free,
                now=now,
                token=token,
                lease_seconds=times.lease,
                fallback_seconds=self.fallback_seconds(services, provider),
                rest_seconds=policy.credential_rest_seconds,
                spread_seconds=spread(policy),
                lacking=services.lacking(provider, now),
                held=services.held(provider, now),
            )
            context_of = self.contexts(services, tx, provider, placements)
            return [
                Claimed(
                    placement=one,
                    context=context_of(one),
                    step=self.step,
                    token=token,
                    at=now,
                    begin_by=begin_by,
                    send_by=send_by,
                )
                for one in placements
            ]

        return claim_the_readable(services, self.step, provider, lambda: services.database.transact(claimed))

    def settle(self, services: Services, answers: Sequence[Answer[C, A]]) -> int:
        """Settle each answer on its own: a failure does not affect the others. Raises Postponed."""
        done, later = 0, []
        for answer in answers:
            try:
                done += self._try_to_settle(services, answer)
            except AccountBusy:
                later.append(answer)
        if later:
            raise Postponed(later)
        return done

    def settle_or_give_back(self, services: Services, answer: Answer[C, A]) -> None:
        """Save one answer; give the row back if nothing was asked because this worker drains."""
        if isinstance(answer.said, NotBegun):
            give_back(services, answer)
        else:
            self.settle_one(services, answer)

    def _try_to_settle(self, services: Services, answer: Answer[C, A]) -> bool:
        try:
            self.settle_or_give_back(services, answer)
            self.note(services, answer)
        except AccountBusy:
            raise
        except Exception as error:  # noqa: BLE001  (it is logged, and the row is claimed again when its lease expires)
            failures.log_failure(
                log, error, f"cannot settle an answer for placement {answer.claimed.placement.id}"
            )
            return False
        return True

    def note(self, services: Services, answer: Answer[C, A]) -> None:
        """Count what was asked, once it is settled."""
        metering.count_of_answer(services.database, answer.claimed.placement.provider, answer.said)
        self._note_own_fault(services, answer)

    def _note_own_fault(self, services: Services, answer: Answer[C, A]) -> None:
        """Count a failure of this machine, and leave the provider alone for a moment."""
        provider = answer.claimed.placement.provider
        fault = failed_here_in(answer.said)
        if fault is None:
            services.cooldowns.end(self.step, provider)
            return
        local_faults.note_answer(services, self.step, provider, fault, answer.said)


@dataclass(frozen=True, kw_only=True, slots=True)
class Held:
    """The locked rows that an answer is settled on. `work` and `session` are None for an orphan."""

    work: AccountWork | None
    session: Session | None
    placement: Placement
    lease_held: bool


def lock_under_lease(services: Services, tx: Transaction, answer: Answer[Any, Any]) -> Held | None:
    """Lock account, session and placement in that order; None if the placement is gone."""
    claimed = answer.claimed
    placement = claimed.placement
    work = on_account(services, tx, placement.account_id) if placement.account_id else None
    session = tx.sessions.lock(placement.session_id) if placement.session_id else None
    current = tx.placements.lock(placement.id)
    if current is None:
        return None
    held = current.lease is not None and current.lease.token == claimed.token
    if current.credential is not None and current.serialised:
        rest = services.policy(current.provider).credential_rest_seconds
        tx.credentials.release(current.provider, current.credential, claimed.token, tx.now(), rest)
    return Held(work=work, session=session, placement=current, lease_held=held)


def give_back(services: Services, answer: Answer[Any, Any]) -> None:
    """Make the step due again as if it had never been claimed; nothing was asked."""
    step = answer.claimed.step

    def give(tx: Transaction) -> None:
        held = lock_under_lease(services, tx, answer)
        if held is None:
            return
        if held.lease_held:
            _make_due_again(tx, held, step)
            tx.placements.wake(step)
        if held.work is not None:
            held.work.finish()

    services.database.transact(give)


def _make_due_again(tx: Transaction, held: Held, step: Step) -> None:
    placement = held.placement
    given_back = replace(
        placement,
        due=Due(step, tx.now()),
        lease=None,
        attempts=max(placement.attempts - 1, 0),
        sent_at=None if step is Step.OPEN else placement.sent_at,
    )
    saved = tx.placements.save(placement, given_back)
    unwanted = held.session is not None and held.session.state is not State.STARTING
    if step is Step.OPEN and unwanted and held.work is not None and held.session is not None:
        transitions.begin_close(held.work, saved, held.session)
        failover.finish_if_closed(held.work, held.session)


def record_late(services: Services, tx: Transaction, held: Held, answer: Answer[Any, Any]) -> None:
    """Save the handle of an answer that came after its lease was lost, if it is not known yet: as the candidate for
    `resolve`, or as an orphan to be closed."""
    placement = held.placement
    if not isinstance(answer.said, Placed) or answer.said.handle == placement.handle:
        return
    if not is_usable_handle(answer.said.handle):
        return  # nothing can be addressed by it
    handle = answer.said.handle
    if placement.handle is None and placement.state in UNENDED and placement.candidate in (None, handle):
        tx.placements.save(placement, replace(placement, candidate=handle))
    elif not tx.placements.handle_is_known(placement.provider, handle):
        lasts = answer.said.lasts_seconds or placement.duration_seconds
        end = ends_at(placement, answer.said.ends_at, lasts, tx.now())
        orphans.add_of(services, tx, placement, handle, tx.now(), end)


def disown_candidate(
    services: Services, tx: Transaction, placement: Placement, handle: str, now: datetime
) -> None:
    """Add an orphan for the candidate that a late answer left, if `resolve` found another handle."""
    candidate = placement.candidate
    if (
        candidate is None
        or candidate == handle
        or tx.placements.handle_is_known(placement.provider, candidate)
    ):
        return
    end = ends_at(placement, None, placement.duration_seconds, now)
    orphans.add_of(services, tx, placement, candidate, now, end)
