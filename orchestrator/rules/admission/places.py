"""The order in which a session's next placement is offered to the providers of its model."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from orchestrator.rules.values import Brake, Placement, RefusedBy, Session

#: (provider, credential); None: the provider has no credentials.
ProviderKey = tuple[str, str | None]
#: Stands for every credential of a provider that has refused as a whole.
EVERYWHERE = "*"
#: How often an open that failed at its platform, and may have left sessions there, is repeated under one key.
REPEATS = 1
#: Once a session was served at one place for this long, earlier failures no longer count.
WELL_SERVED = timedelta(hours=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class PlaceCandidate:
    """A provider that a new placement may go to."""

    provider: str
    avoiding: frozenset[str | None] = frozenset()
    """Its credentials with a brake, or under which the session failed before."""


def place_candidates(
    providers: Sequence[str],
    brakes: Collection[Brake],
    failed_at: Collection[ProviderKey] = (),
    *,
    beside_brakes: bool = False,
) -> list[PlaceCandidate]:
    """Return where a new placement may go, best first: places at a brake come last.

    Apart from that, providers where the session has not failed come first, then other keys where it has, then the same
    keys. All are returned, unless `beside_brakes`: a session without another provider waits until this one has
    recovered."""
    held = {brake.provider for brake in brakes}
    braked = {brake.provider for brake in brakes if brake.credential is None}
    well = [
        PlaceCandidate(provider=name, avoiding=_keys_held(name, brakes))
        for name in providers
        if name not in braked
    ]
    ill = [PlaceCandidate(provider=name) for name in providers if name in held and not beside_brakes]
    return _elsewhere_first(well, failed_at) + _elsewhere_first(ill, failed_at)


def may_serve(session: Session, provider: str, *, attaches: bool, max_nodes: int | None) -> bool:
    """Return whether this provider of its model can serve the session: `attaches`, to endpoints that jobs name."""
    if session.pinned_provider not in (None, provider) or attaches != (session.attach is not None):
        return False
    return max_nodes is None or session.nodes <= max_nodes


def tried_in_vain(placements: Sequence[Placement], opens_anew: Collection[str]) -> set[ProviderKey]:
    """Return where another attempt would meet the same refusal, or the same dead endpoint. `opens_anew`: the providers
    where each open makes something new."""
    failed = Counter((one.provider, one.credential) for one in placements if one.orphans_at_most is not None)
    tried: set[ProviderKey] = {key for key, times in failed.items() if times > REPEATS}
    for placement in placements:
        if placement.refused_by is RefusedBy.PROVIDER:
            tried.add((placement.provider, EVERYWHERE))
        refused = placement.refused_by is not None  # an open with a lost answer was not refused
        if refused or placement.provider not in opens_anew:
            tried.add((placement.provider, placement.credential))
    return tried


def may_free(placement: Placement, providers: Collection[str], tried: Collection[ProviderKey]) -> bool:
    """Return whether the end of this placement frees an exclusive key under which its session has not failed."""
    if not placement.exclusive or placement.provider not in providers:
        return False
    return (placement.provider, placement.credential) not in tried


def failed_at(placements: Sequence[Placement], now: datetime) -> set[ProviderKey]:
    """Return where a session died, never answered a ping, or was lost while it was opened. Refusals, which record their
    reach, and declared ends do not count."""
    return {
        (one.provider, one.credential)
        for one in placements
        if one.refused_by is None and not _ended_as_declared(one, now)
    }


def remembered(placements: Sequence[Placement], now: datetime) -> Sequence[Placement]:
    """Return the placements that count against a place: the last one that served for `WELL_SERVED`, and those after it.
    `placements` is oldest first."""
    served = (n for n, one in enumerate(placements) if _served(one, now) >= WELL_SERVED)
    return placements[max(served, default=0) :]


def attempts(placements: Sequence[Placement], running_at: datetime | None, now: datetime) -> int:
    """Return how many of `max_placements` are used: all until the first RUNNING, then that one and those after it."""
    counted = remembered(placements, now)
    if running_at is None:
        return len(counted)
    before = (n for n, one in enumerate(counted) if one.created_at <= running_at)
    return len(counted) - max(before, default=0)


def _served(placement: Placement, now: datetime) -> timedelta:
    if placement.opened_at is None:
        return timedelta(0)
    return (placement.lost_at or placement.closing_since or placement.ended_at or now) - placement.opened_at


def _elsewhere_first(
    offered: Sequence[PlaceCandidate], failed_at: Collection[ProviderKey]
) -> list[PlaceCandidate]:
    been = {provider for provider, _ in failed_at}
    again = [candidate for candidate in offered if candidate.provider in been]
    other_keys = [replace(one, avoiding=one.avoiding | _keys_of(one.provider, failed_at)) for one in again]
    return [*(candidate for candidate in offered if candidate.provider not in been), *other_keys, *again]


def _ended_as_declared(placement: Placement, now: datetime) -> bool:
    end = placement.declared_end_at
    return end is not None and (placement.closing_since or now) >= end


def _keys_of(provider: str, keys: Collection[ProviderKey]) -> frozenset[str | None]:
    return frozenset(credential for name, credential in keys if name == provider)


def _keys_held(provider: str, brakes: Collection[Brake]) -> frozenset[str | None]:
    return frozenset(
        brake.credential for brake in brakes if brake.provider == provider and brake.credential is not None
    )
