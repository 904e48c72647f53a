"""Common code of open, resolve and close: claim what can begin at once, act, settle each under its lease."""

import logging
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar

from orchestrator.flows.engine import failures, metering
from orchestrator.flows.engine.claiming import claim_everywhere
from orchestrator.flows.engine.crowd import AccountBusy
from orchestrator.flows.engine.pipeline import Flow, Postponed
from orchestrator.flows.engine.services import Services
from orchestrator.flows.engine.unreadable_rows import claim_the_readable
from orchestrator.flows.lifecycle.account_work import AccountWork
from orchestrator.flows.lifecycle.due_stops import on_account
from orchestrator.flows.upstream import local_faults
from orchestrator.providers.port.driver import Driver
from orchestrator.providers.port.errors import NotSent, OutcomeUnknown, ProviderError, failed_here_in
from orchestrator.rules.audit.wait_limits import spread
from orchestrator.rules.states import Step
from orchestrator.rules.values import Placement, Policy, Session
from orchestrator.store.queries.placements import Handles, Rivals
from orchestrator.store.transaction import Transaction

T = TypeVar("T")
log = logging.getLogger(__name__)

#: Handles of placements that ended this long before an open cannot be mistaken for its own.
REMEMBERED = timedelta(days=2)


@dataclass(frozen=True, kw_only=True, slots=True)
class Claimed:
    """A placement under our lease, and the monotonic instant after which nothing may be sent for it."""

    placement: Placement
    step: Step
    token: str
    begin_by: float
    handles: Handles = field(default_factory=Handles)
    rivals: Rivals = field(default_factory=Rivals)
    judged_dead: bool = False
    """For a close, where the driver asks for it: the session stopped as dead."""
    at: datetime | None = None
    """When it was claimed, by the store's clock."""
    send_by: float | None = None
    """The monotonic instant at which the lease ends: what has begun in time sends nothing more after it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer(Generic[T]):
    """A provider's answer about a claimed placement: a value, or the error on which the next step depends."""

    claimed: Claimed
    said: T | ProviderError


class NotBegun(NotSent):
    """This worker leaves and has not asked: the row is given back, so that another worker takes it at once."""


#: Makes the driver's call for a claim. Raises ProviderError.
Ask = Callable[[Services, Driver, Claimed], Coroutine[Any, Any, T]]


@dataclass(frozen=True, kw_only=True, slots=True)
class StepTimes:
    """Seconds of a claim's lease, and seconds that its call may take."""

    lease: float
    timeout: float


def claim(services: Services, step: Step, terms: Callable[[Policy], StepTimes]) -> list[Claimed]:
    """Lease the due placements of every provider with free slots here, no more than can begin now.

    A call must begin one timeout before its lease ends, or it never begins, so no call outlives its lease."""

    def claim_at(provider: str, free: int) -> list[Claimed]:
        return _claim_at(services, step, provider, free, terms(services.policy(provider)))

    def release(one: Claimed) -> None:
        services.slots.release(step, one.placement.provider)

    return claim_everywhere(services, step, claim_at, release)


async def ask(services: Services, step: Step, claimed: Claimed, question: Ask[T]) -> Answer[T]:
    """Ask the driver, unless the lease has expired meanwhile. The slot is held until the answer is settled."""
    provider = claimed.placement.provider
    try:
        if services.slots.closed:
            return Answer(claimed=claimed, said=NotBegun("this worker leaves"))
        if services.loop.time() > claimed.begin_by:
            return Answer(claimed=claimed, said=NotSent("the lease ran out before anything was sent"))
        return Answer(claimed=claimed, said=await question(services, services.drivers[provider], claimed))
    except ProviderError as error:
        return Answer(claimed=claimed, said=error)
    except Exception as error:  # a driver's defect, on an unforeseen answer: the call's effect is unknown
        log.exception("the %s of placement %s failed", step, claimed.placement.id)
        said = f"the answer cannot be understood: {type(error).__name__}"
        return Answer(claimed=claimed, said=OutcomeUnknown(said, possible_orphans=True))
    except BaseException:  # the process ends: there will be no answer to settle
        services.slots.release(step, provider)
        raise


def flow_of(
    step: Step,
    terms: Callable[[Policy], StepTimes],
    question: Ask[T],
    settle: Callable[[Services, Answer[T]], None],
) -> Flow[Answer[T]]:
    """Claim what is due, ask all at once, settle each as soon as its answer is there."""

    def claimed(services: Services) -> list[Coroutine[Any, Any, Answer[T]]]:
        return [ask(services, step, one, question) for one in claim(services, step, terms)]

    def settled(services: Services, answers: Sequence[Answer[T]]) -> int:
        done, later = 0, []
        for answer in answers:
            try:
                done += _settled(services, settle, answer)
            except AccountBusy:  # its slot is held until it is settled
                later.append(answer)
        if later:
            raise Postponed(later)
        return done

    return Flow(claim=claimed, settle=settled)


def _settled(services: Services, settle: Callable[[Services, Answer[T]], None], answer: Answer[T]) -> bool:
    """Settle one; a failure does not affect the other answers. Raises AccountBusy."""
    busy = False
    try:
        settle(services, answer)
        metering.count_of_answer(services, answer.claimed.placement.provider, answer.said)
        _note_own_fault(services, answer)
    except AccountBusy:
        busy = True
        raise
    except Exception as error:  # noqa: BLE001  (it is logged, and the row is claimed again when its lease expires)
        failures.log_failure(
            log, error, f"an answer for placement {answer.claimed.placement.id} is not settled"
        )
        return False
    finally:
        if not busy:
            services.slots.release(answer.claimed.step, answer.claimed.placement.provider)
    return True


def _note_own_fault(services: Services, answer: Answer[Any]) -> None:
    """Count a failure of this machine, and leave the provider alone for a moment."""
    provider, step = answer.claimed.placement.provider, answer.claimed.step
    fault = failed_here_in(answer.said)
    if fault is None:
        services.cooldowns.end(step, provider)
        return
    local_faults.note_answer(services, step, provider, fault, answer.said)


def under_lease(services: Services, tx: Transaction, answer: Answer[Any]) -> "Held | None":
    """Lock account, session and placement in that order; None where the placement is gone."""
    claimed = answer.claimed
    placement = claimed.placement
    work = on_account(services, tx, placement.account_id) if placement.account_id else None
    session = tx.sessions.lock(placement.session_id) if placement.session_id else None
    current = tx.placements.lock(placement.id)
    if current is None:
        return None
    held = current.lease_token == claimed.token
    if current.credential is not None and current.serialised:
        rest = services.policy(current.provider).credential_rest_seconds
        tx.credentials.release(current.provider, current.credential, claimed.token, tx.now(), rest)
    return Held(work=work, session=session, placement=current, lease_held=held)


@dataclass(frozen=True, kw_only=True, slots=True)
class Held:
    """The locked rows that an answer is settled on. `work` and `session` are None for an orphan."""

    work: AccountWork | None
    session: Session | None
    placement: Placement
    lease_held: bool


def _claim_at(services: Services, step: Step, provider: str, limit: int, terms: StepTimes) -> list[Claimed]:
    policy = services.policy(provider)
    card = services.card(provider)
    token = services.database.identity.new_token()
    began = services.loop.time()

    def claimed(tx: Transaction) -> list[Claimed]:
        now = tx.now()
        if services.cooldowns.cover(step, provider, now):
            return []
        placements = tx.claims.claim(
            step,
            provider,
            limit,
            now=now,
            token=token,
            lease_seconds=terms.lease,
            fallback_seconds=services.resolve_after(provider) if step is Step.OPEN else 0,
            rest_seconds=policy.credential_rest_seconds,
            spread_seconds=spread(policy),
            lacking=services.lacking(provider),
            held=services.held(provider),
        )
        tells_apart = card is not None and card.can_list and step is not Step.CLOSE
        fresh = [
            Claimed(placement=p, step=step, token=token, begin_by=begin_by, send_by=send_by, at=now)
            for p in placements
        ]
        if step is Step.CLOSE and card is not None and card.asks_who_died:
            dead = tx.claims.stopped_as_dead({p.session_id for p in placements if p.session_id})
            return [replace(one, judged_dead=one.placement.session_id in dead) for one in fresh]
        return _telling_apart(tx, provider, fresh) if tells_apart and fresh else fresh

    begin_by, send_by = began + max(terms.lease - terms.timeout, 1), began + terms.lease
    return list(claim_the_readable(services, step, provider, lambda: services.database.transact(claimed)))


def _telling_apart(tx: Transaction, provider: str, fresh: Sequence[Claimed]) -> list[Claimed]:
    """Return the claims, with the data that a driver needs to tell our resources in its list from others'."""
    since = {
        one.placement.id: (one.placement.sent_at or one.placement.created_at) - REMEMBERED for one in fresh
    }
    handles = tx.placements.handles_since(provider, since)
    return [
        replace(one, handles=handles[one.placement.id], rivals=tx.placements.rivals(one.placement))
        for one in fresh
    ]
