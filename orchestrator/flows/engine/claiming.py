"""Claim due work at each provider, no more than this process has free slots for."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from orchestrator.flows.engine.services import Services
from orchestrator.rules.states import Step

T = TypeVar("T")

#: Provider, free slots → what was leased there: at most one for each slot.
Claim = Callable[[str, int], Sequence[T]]


def claim_everywhere(
    services: Services, step: Step, claim: Claim[T], release: Callable[[T], None]
) -> list[T]:
    """Claim at every provider with due work. `release`: gives the slot of one claim back, where the database fails
    half-way: what was claimed by then is never asked."""
    claimed: list[T] = []
    try:
        for provider in _providers_with_due_work(services, step):
            claimed += claim_at(services, step, provider, claim)
    except BaseException:
        for one in claimed:
            release(one)
        raise
    return claimed


def claim_at(services: Services, step: Step, provider: str, claim: Claim[T]) -> Sequence[T]:
    """Claim at one provider, and keep a slot for each claim."""
    free = services.slots.take(step, provider)
    claimed: Sequence[T] = ()
    try:
        claimed = claim(provider, free) if free else ()
    finally:
        services.slots.release(step, provider, free - len(claimed))
    return claimed


def _providers_with_due_work(services: Services, step: Step) -> list[str]:
    """Return the providers of this process with due work: one query, so that the others cost no claim."""
    with services.database.reading() as tx:
        return tx.due_work.providers(step, list(services.drivers), tx.now())
