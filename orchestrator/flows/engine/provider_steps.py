"""What claim, act, settle means for one kind of call to providers. Each step says how it claims, what it asks, and how
it settles; the rules of slots and leases are here, once."""

import asyncio
import logging
import sys
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil
from typing import Any, ClassVar, Generic, TypeVar

from orchestrator.flows.engine.services import Services
from orchestrator.flows.engine.slots import WaitingCalls
from orchestrator.observability import tracing
from orchestrator.providers.port.driver import Driver
from orchestrator.providers.port.errors import NotSent, OutcomeUnknown, ProviderError
from orchestrator.rules.states import Step
from orchestrator.rules.values import Placement
from orchestrator.store.transaction import Transaction
from orchestrator.store.unreadable import is_about_a_row, set_aside

C = TypeVar("C")
A = TypeVar("A")
T = TypeVar("T")
log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Claimed(Generic[C]):
    """A placement, or its session, under our lease. `begin_by` and `send_by` are instants of the loop's clock."""

    placement: Placement
    context: C
    """What the step knows besides."""
    step: Step
    token: str
    """The token of the lease."""
    at: datetime
    """When it was claimed, by the store's clock."""
    begin_by: float
    """Nothing begins after it, so that no call outlives its lease."""
    send_by: float
    """The lease ends: what has begun in time sends nothing more after it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer(Generic[C, A]):
    """What came back for a claim: a value, or the error on which the next step depends."""

    claimed: Claimed[C]
    said: A | ProviderError


class NotBegun(NotSent):
    """This worker is draining and has not asked: the row is given back, so that another worker takes it at once."""


class Postponed(Exception):
    """Everything is settled except these: their accounts are locked."""

    def __init__(self, later: Sequence[Any]) -> None:
        super().__init__(f"{len(later)} answers wait for locked accounts")
        self.later = later


class ProviderStep(ABC, Generic[C, A]):
    """One kind of call to providers."""

    step: ClassVar[Step]
    chunk: ClassVar[int] = 1
    """Answers that one call of `settle` takes at most."""
    paced: ClassVar[bool] = False
    """Whether a claim becomes too old within seconds, so that no more may be claimed than begins at once."""

    @abstractmethod
    def claim(self, services: Services, provider: str, free: int) -> Sequence[Claimed[C]]:
        """Lease due rows at a provider in one short transaction, at most as many as there are free slots."""

    @abstractmethod
    async def ask(self, services: Services, driver: Driver, claimed: Claimed[C]) -> A:
        """Call the driver; no transaction is open. Raises ProviderError."""

    @abstractmethod
    def settle(self, services: Services, answers: Sequence[Answer[C, A]]) -> int:
        """Save what came back, under the lease, and return how many were settled. Raises Postponed."""

    def may_be_dropped(self, driver: Driver) -> bool:  # noqa: ARG002
        """Return whether a call may be cancelled when this worker drains: another worker can do its work."""
        return False

    def hold(self, services: Services, claimed: Claimed[C]) -> None:
        """Note that this claim has begun, beyond its slot."""

    def note_over(self, services: Services, claimed: Claimed[C]) -> None:
        """Note that this claim is over, beyond its slot."""


def claim_everywhere(services: Services, step: ProviderStep[C, A]) -> list[Claimed[C]]:
    """Claim at every provider with due work. Where the database fails half-way, what was claimed by then is never
    asked."""
    room = services.pace.room() if step.paced else sys.maxsize
    claimed: list[Claimed[C]] = []
    try:
        due = _providers_with_due_work(services, step.step, room)
        for n, provider in enumerate(due):
            share = ceil((room - len(claimed)) / (len(due) - n))  # what one leaves is for those after it
            claimed += claim_at(services, step, provider, share)
    except BaseException:
        release(services, step, claimed)
        raise
    return claimed


def claim_at(
    services: Services, step: ProviderStep[C, A], provider: str, most: int = sys.maxsize
) -> Sequence[Claimed[C]]:
    """Claim at one provider, at most this many, and keep a slot for each claim."""
    free = services.slots.take(step.step, provider, most)
    claimed: Sequence[Claimed[C]] = ()
    try:
        claimed = step.claim(services, provider, free) if free else ()
    finally:
        services.slots.release(step.step, provider, free - len(claimed))
    for one in claimed:
        step.hold(services, one)
    return claimed


def claim_and_ask(services: Services, step: ProviderStep[C, A]) -> list[Coroutine[Any, Any, Answer[C, A]]]:
    """Lease what is due and can begin now. Each coroutine asks one provider; its slot is held until `settle`, and a
    coroutine that raises has released it itself."""
    claimed = claim_everywhere(services, step)
    batch = services.pace.batch(len(claimed), services.loop.time()) if step.paced else None
    return [ask(services, step, one, batch) for one in claimed]


async def ask(
    services: Services, step: ProviderStep[C, A], claimed: Claimed[C], batch: WaitingCalls | None = None
) -> Answer[C, A]:
    """Ask the driver, unless this worker drains or the claim has become too old meanwhile. `batch`: the calls that were
    claimed together, where that matters."""
    if batch is not None:
        batch.begin_one(services.loop.time())
    began = 0 if claimed.step is Step.PING else tracing.now()
    try:
        said = await _said(services, step, claimed)
        _trace(claimed, began)
        return Answer(claimed=claimed, said=said)
    except ProviderError as error:
        _trace(claimed, began, error)
        return Answer(claimed=claimed, said=error)
    except Exception as error:  # a driver's defect, on an unforeseen answer: the call's effect is unknown
        log.exception("the %s of placement %s failed", step.step, claimed.placement.id)
        why = f"the answer cannot be understood: {type(error).__name__}"
        return Answer(claimed=claimed, said=OutcomeUnknown(why, possible_orphans=True))
    except BaseException:  # the process ends: there will be no answer to settle
        release(services, step, [claimed])
        raise


def _trace(claimed: Claimed[C], began: int, error: ProviderError | None = None) -> None:
    """Record the call, unless it is a ping: each session has thousands of them."""
    placement = claimed.placement
    if claimed.step is not Step.PING:
        attributes = {
            "orchestrator.provider": placement.provider,
            "orchestrator.placement": placement.id,
        }
        fault = None if error is None else type(error).__name__
        tracing.call(f"orchestrator.provider.{claimed.step}", placement.session_id, attributes, began, fault)


async def _said(services: Services, step: ProviderStep[C, A], claimed: Claimed[C]) -> A:
    driver = services.drivers[claimed.placement.provider]
    if services.slots.closed:
        raise NotBegun("this worker is draining")
    if services.loop.time() > claimed.begin_by:
        raise NotSent("the lease expired before anything was sent")
    if not step.may_be_dropped(driver):
        return await step.ask(services, driver, claimed)
    try:
        with services.loop.may_be_dropped():
            return await step.ask(services, driver, claimed)
    except asyncio.CancelledError as error:
        raise NotBegun("this worker is draining") from error


def settle(services: Services, step: ProviderStep[C, A], answers: Sequence[Answer[C, A]]) -> int:
    """Save answers and give their slots back, however that ends; return how many were settled. Raises Postponed with
    what has to wait for its account: the slots of these are still held."""
    later: Sequence[Answer[C, A]] = ()
    try:
        return step.settle(services, answers)
    except Postponed as postponed:
        later = postponed.later
        raise
    finally:
        held = {id(answer) for answer in later}
        release(services, step, [answer.claimed for answer in answers if id(answer) not in held])


def release(services: Services, step: ProviderStep[C, A], over: Sequence[Claimed[C]]) -> None:
    """Give back the slots of claims that are over. Those of one provider are given back at once, so that the next claim
    finds all of them."""
    for one in over:
        step.note_over(services, one)
    for provider, count in Counter(one.placement.provider for one in over).items():
        services.slots.release(step.step, provider, count)


def _providers_with_due_work(services: Services, step: Step, room: int) -> list[str]:
    """Return the providers of this process with due work: one query, so that the others cost no claim. Ask nothing
    while nothing may be claimed."""
    if not services.slots.any_free(step, room):
        return []
    with services.database.reading() as tx:
        return tx.due_work.providers(step, list(services.drivers), tx.now())


#: An unreadable row is tried again after this: perhaps a worker of the other release has come back.
AGAIN_AFTER = timedelta(minutes=5)


def claim_the_readable(
    services: Services, step: Step, provider: str, claim: Callable[[], Sequence[T]]
) -> Sequence[T]:
    """Return what `claim` takes, in one transaction. Where it meets a row that cannot be read, since another release or
    a person wrote it, postpone that row and claim again: it must not block the claims of others."""
    try:
        return claim()
    except Exception as error:
        if not (is_about_a_row(error) and _put_off(services, step, provider)):
            raise
    return claim()


def _put_off(services: Services, step: Step, provider: str) -> bool:
    """Postpone the unreadable rows; return whether there was any."""

    def put_off(tx: Transaction) -> Sequence[str]:
        now = tx.now()
        return set_aside(tx.connection, step, provider, now, now + AGAIN_AFTER)

    bad = services.database.transact(put_off)
    if not bad:
        return False
    log.error(
        "%s: %d rows cannot be read and are put off: %s; `orchestrator audit` says what is wrong with them",
        step,
        len(bad),
        ", ".join(bad[:10]),
    )
    return True
