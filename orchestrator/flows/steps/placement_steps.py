"""Open, resolve and close: claim due placements, and settle each answer under its lease."""

import logging
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

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
from orchestrator.flows.steps.give_back import give_back
from orchestrator.flows.upstream import local_faults
from orchestrator.providers.port.errors import failed_here_in
from orchestrator.rules.sessions.pings import spread
from orchestrator.rules.values import Placement, Policy
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
                log, error, f"an answer for placement {answer.claimed.placement.id} is not settled"
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
