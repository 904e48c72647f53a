"""Open due placements, and settle what the provider answers to an open, or to its resolve. Each placement's row was
written before."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TypeVar

from orchestrator.flows.engine.batch import Tally
from orchestrator.flows.engine.pipeline import run_once
from orchestrator.flows.engine.provider_steps import Answer, Claimed
from orchestrator.flows.engine.services import Services, open_lease
from orchestrator.flows.lifecycle import failover, transitions
from orchestrator.flows.lifecycle.account_work import AccountWork
from orchestrator.flows.lifecycle.due_stops import run_after_stops
from orchestrator.flows.steps.placement_steps import (
    PlacementStep,
    StepTimes,
    disown_candidate,
    lock_under_lease,
    record_late,
)
from orchestrator.flows.steps.targets import OpenContext, order_of
from orchestrator.flows.upstream import alarms, credentials
from orchestrator.providers.port.driver import Driver, NotPlaced, Placed
from orchestrator.providers.port.errors import (
    CredentialRefused,
    KeyNotFree,
    NotSent,
    OutcomeUnknown,
    ProviderError,
    Refused,
    Throttled,
    failure_of,
)
from orchestrator.rules.events import ownership_lost
from orchestrator.rules.sessions.decide import clamped_retry_after
from orchestrator.rules.sessions.stops import reason_without_place
from orchestrator.rules.states import PlacementState, State, Step
from orchestrator.rules.text import is_usable_handle
from orchestrator.rules.upstream import placements as rule
from orchestrator.rules.upstream.alarms import alarm
from orchestrator.rules.upstream.placements import FailedCall
from orchestrator.rules.values import Placement, Policy, RefusedBy, Session
from orchestrator.store.transaction import Transaction

A = TypeVar("A", bound=Placed | NotPlaced)

#: Handles of placements that ended this long before an open cannot be mistaken for its own.
REMEMBERED = timedelta(days=2)
#: The answer to an open, or to its resolve.
Outcome = Placed | NotPlaced | ProviderError


class _Freeing:
    """The freeing of a key before an open under it. The open may be sent once the freeing is over and saved."""

    def __init__(self, services: Services, one: Claimed[OpenContext]) -> None:
        self._services, self._one = services, one
        self.over = False

    async def finish(self) -> None:
        """Note that the key was freed. Raises NotSent if another worker has taken over the open."""
        placement, token = self._one.placement, self._one.token

        def note(tx: Transaction) -> bool:
            return tx.claims.note_freed(placement.id, token, tx.now())

        if not await self._services.loop.beside(self._services.database.transact, note):
            raise NotSent("the lease was lost while the key was freed")
        self.over = True


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


def settle_answer(
    work: AccountWork,
    session: Session,
    placement: Placement,
    said: Outcome,
    step: Step,
) -> None:
    """Act on the answer to an open, or to its resolve."""
    _note_what_it_ended(work, placement, said)
    match said:
        case Placed() as placed:
            settle_opened(work, session, placement, placed, step)
        case NotPlaced() as found:
            own = found.ended_handle if _is_its_own(work, placement, found) else None
            settle_not_opened(work, session, placement, found.proof, ended=own)
        case Refused() as refusal:
            refused = replace(placement, refused_by=refusal.reach, last_answer=str(refusal))
            current = work.tx.placements.save(placement, refused)
            _note_refusal(work, placement, refusal)
            settle_not_opened(work, session, current, f"refused: {refusal}")
        case KeyNotFree() as error if _is_stuck(work, session, placement):
            settle_not_opened(work, session, _note_refusal_by_key(work, placement, error), str(error))
        case NotSent() | Throttled() as error:
            _raise_alarm(work, placement, error)
            _retry_later(work, session, placement, error, step)
        case error:
            settle_unknown(work, placement, failure_of(error), step)


def settle_opened(
    work: AccountWork, session: Session, placement: Placement, placed: Placed, step: Step = Step.OPEN
) -> None:
    """Note that the placement is open; its first good ping is the proof. If a stop came meanwhile, close it at once."""
    if not is_usable_handle(placed.handle):
        settle_unknown(
            work, placement, FailedCall(said="the provider's id of the session is not plain text"), step
        )
        return
    if placement.handle != placed.handle and work.tx.placements.handle_is_known(
        placement.provider, placed.handle
    ):
        said = f"the provider answered with {placed.handle}, which another placement has"
        settle_unknown(work, placement, FailedCall(said=said, possible_orphans=True), step)
        return
    disown_candidate(work.services, work.tx, placement, placed.handle, work.now)
    alarms.note_open_outcome(work.tx, placement, placed.misconfigured, work.now)
    current = work.tx.placements.save(placement, _as_open(placement, placed, work.now))
    if not rule.is_awaited(session, placement):
        transitions.begin_close(work, current, session)
        return
    ready = replace(session, declared_end_at=current.declared_end_at, ping_at=work.now)
    work.keep(session, work.planned(ready))


def settle_not_opened(
    work: AccountWork, session: Session, placement: Placement, why: str, *, ended: str | None = None
) -> None:
    """End a placement that does not exist, or no longer exists (`ended`). Then try the next place, or give up the
    start; finish a stopping session."""
    if ended is not None and is_usable_handle(ended):
        transitions.end_found_closed(work.tx, placement, ended, why, work.now)
    else:
        transitions.end_never_opened(work.tx, placement, why, work.now)
    if rule.is_awaited(session, placement):
        if failover.next_attempt(work, session, session) is None:
            transitions.stop(
                work,
                session,
                reason_without_place(session),
                work.now,
                f"no provider left to try; last error from {placement.provider}: {why}",
            )
        return
    failover.finish_if_closed(work, session)


def _is_stuck(work: AccountWork, session: Session, placement: Placement) -> bool:
    """Return whether freeing its key failed too often, and the session has another place to go."""
    return rule.is_stuck(session, placement) and failover.has_another(work, session, placement)


def _note_refusal_by_key(work: AccountWork, placement: Placement, error: KeyNotFree) -> Placement:
    """Mark the placement as refused by its key, and put the key into cooldown, so that other sessions do not try it at
    once."""
    if placement.credential is not None:
        rests = work.services.policy(placement.provider).close_retry_max_seconds
        until = work.now + timedelta(seconds=rests)
        work.tx.credentials.start_cooldown(placement.provider, placement.credential, until)
    refused = replace(placement, refused_by=RefusedBy.CREDENTIAL, last_answer=str(error))
    return work.tx.placements.save(placement, refused)


def _note_refusal(work: AccountWork, placement: Placement, refusal: Refused) -> None:
    """Pause a key that was refused, and raise the alarm that the refusal calls for."""
    if isinstance(refusal, CredentialRefused) and placement.attach is None:
        credentials.pause_refused(
            work.tx, placement, str(refusal), work.services.policy(placement.provider), work.now
        )
    _raise_alarm(work, placement, refusal)


def _raise_alarm(work: AccountWork, placement: Placement, error: ProviderError) -> None:
    if error.alarm is not None:
        where = placement.provider, placement.credential, placement.model_id
        alarms.raise_alarm(work.tx, alarm(error.alarm, *where, str(error), work.now))


def _note_what_it_ended(work: AccountWork, placement: Placement, said: Outcome) -> None:
    """Announce that freeing the key ended a session that was not opened here: another program uses the key."""
    ended = said.ended_handle
    if isinstance(said, NotPlaced) and _is_its_own(work, placement, said):
        return
    if ended is not None and not work.tx.leftovers.may_be_ours(placement, ended, work.now):
        work.tx.outbox.add([ownership_lost(placement, ended)])


def _is_its_own(work: AccountWork, placement: Placement, found: NotPlaced) -> bool:
    card = work.services.card(placement.provider)
    frees_key = card is not None and card.identity.frees_key
    return rule.is_its_own(placement, foreign=found.foreign, frees_key=frees_key)


def _as_open(placement: Placement, placed: Placed, now: datetime) -> Placement:
    return replace(
        placement,
        state=PlacementState.OPEN,
        handle=placed.handle,
        candidate=None,
        endpoint_url=placed.endpoint.url,
        endpoint_model=placed.endpoint.model,
        endpoint_auth=placed.endpoint.auth.value,
        secret_ref=placed.endpoint.secret_ref,
        opened_at=now,
        declared_end_at=rule.ends_at(placement, placed.ends_at, placed.lasts_seconds, now),
        last_answer=placed.note or "opened",
        due=None,
        lease=None,
        attempts=0,
    )


def _retry_later(
    work: AccountWork, session: Session, placement: Placement, error: NotSent | Throttled, step: Step
) -> None:
    """Retry later, since nothing was done at the provider. An open is sent again, unless the session is to stop."""
    failure, policy = failure_of(error), work.services.policy(placement.provider)
    retry_after = clamped_retry_after(failure.retry_after_seconds, policy)
    whole_key = isinstance(error, Throttled) and error.whole_key
    credentials.note_rate_limit(work.tx, placement, retry_after, work.now, whole_key=whole_key)
    saved = work.tx.placements.save(placement, rule.sent_again(placement, step, failure, policy, work.now))
    if step is Step.OPEN and session.state is not State.STARTING:
        transitions.begin_close(work, saved, session)
        failover.finish_if_closed(work, session)


def settle_unknown(work: AccountWork, placement: Placement, failure: FailedCall, step: Step) -> None:
    """Resolve later, when the effect of the open must show. Never open a second time before that."""
    policy = work.services.policy(placement.provider)
    shows_after = work.services.resolve_after(placement.provider)
    work.tx.placements.save(placement, rule.in_doubt(placement, step, failure, policy, shows_after, work.now))
