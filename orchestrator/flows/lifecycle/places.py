"""Where a session may be served next: a provider of its model, and a credential there that is free."""

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zlib import crc32

from orchestrator.flows.engine.services import Services
from orchestrator.flows.lifecycle.account_work import AccountWork
from orchestrator.rules.admission.places import (
    EVERYWHERE,
    PlaceCandidate,
    ProviderKey,
    attempts,
    failed_at,
    may_free,
    may_serve,
    place_candidates,
    remembered,
    tried_in_vain,
)
from orchestrator.rules.values import Credential, Model, Placement, Policy, Session
from orchestrator.store.transaction import Transaction

#: (provider, credential) that a session must not be placed at.
ProviderKeys = AbstractSet[ProviderKey]


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where a session may be served next: a provider, and the credential that was taken for it."""

    provider: str
    credential: Credential | None
    at: datetime
    """From when on: now, or once its wait or its key's rest is over."""


def providers_for(services: Services, session: Session, model: Model) -> Iterator[str]:
    """Yield the model's providers that are configured here and large enough, in order of preference."""
    for provider in model.providers:
        card = services.card(provider)
        can = card.lifecycle if card is not None else None
        if can and may_serve(session, provider, attaches=can.attaches, max_nodes=can.max_nodes):
            yield provider


def taken_by(
    services: Services, tx: Transaction, provider: str, model_id: str, now: datetime
) -> ProviderKeys:
    """Return the places at `provider` that a waiting session of this model can use now. A key that refuses this model,
    or is rate-limited for it, is left to others meanwhile."""
    limited = {one.credential for one in tx.rate_limits.of_models(now, provider) if one.model_id == model_id}
    closed = tx.alarms.keys_refusing(provider, model_id) | limited
    if not closed:
        return {(provider, EVERYWHERE)}
    return {(provider, ref) for ref in services.config.providers[provider].credentials if ref not in closed}


def take_place(
    work: AccountWork,
    session: Session,
    model: Model,
    now: datetime,
    others: ProviderKeys = frozenset(),
    *,
    beside_brakes: bool = False,
) -> Place | None:
    """Take a credential at the first provider that has a free one; None if none has. `others`: places left to
    others.

    A place at a brake, or where the session failed before, is taken only if there is no other; `beside_brakes`: a place
    at a brake is never taken."""
    services, tx = work.services, work.tx
    earlier = remembered(tx.placements.of_session(session.id) if session.placements else (), now)
    tried = _tried(services, earlier) | others
    providers = [name for name in providers_for(services, session, model) if (name, EVERYWHERE) not in tried]
    ill = failed_at(earlier, now)
    for candidate in place_candidates(providers, work.brakes, ill, beside_brakes=beside_brakes):
        place = _take_at(services, tx, session, candidate, tried, now)
        if place is not None:
            return place
    return None


def attempts_left(tx: Transaction, session: Session, policy: Policy, now: datetime) -> int:
    """Return how many more placements the session may have."""
    earlier = tx.placements.of_session(session.id)
    return policy.max_placements - attempts(earlier, session.running_at, now)


def take_place_by(
    work: AccountWork,
    session: Session,
    model: Model,
    now: datetime,
    by: datetime,
    *,
    others: ProviderKeys = frozenset(),
    beside_brakes: bool = False,
) -> Place | None:
    """Take a place now or at a time up to `by`: one that is rate-limited, or has a resting key, counts from when it is
    free."""
    freed = freed_by_time(work.tx, session, list(providers_for(work.services, session, model)), now)
    for at in [now, *(at for at in freed if at <= by)]:
        place = take_place(work, session, model, at, others, beside_brakes=beside_brakes)
        if place is not None:
            return place
    return None


def frees_a_place(services: Services, tx: Transaction, session: Session, model: Model, now: datetime) -> bool:
    """Return whether the proven end of this session's placements frees a key that may carry it again. Until then this
    session alone uses that exclusive key."""
    tried = _tried(services, remembered(tx.placements.of_session(session.id), now))
    providers = {name for name in providers_for(services, session, model) if (name, EVERYWHERE) not in tried}
    return any(
        may_free(placement, providers, tried)
        and placement.credential is not None
        and placement.credential not in tx.alarms.keys_refusing(placement.provider, session.model_id)
        and tx.credentials.takes_placements(placement.provider, placement.credential)
        for placement in tx.placements.unended(session.id)
    )


def freed_by_time(
    tx: Transaction, session: Session, providers: Sequence[str], now: datetime
) -> Sequence[datetime]:
    """Return when a rate limit of these providers, or the rest of one of their keys, ends; earliest first."""
    rested = tx.credentials.free_at(providers, now, model_id=session.model_id, ref=session.pinned_credential)
    keyless = tx.rate_limits.without_key(session.model_id, now)
    asked = (until for provider, until in keyless.items() if provider in providers)
    return sorted({*asked, *rested})


def _take_at(
    services: Services,
    tx: Transaction,
    session: Session,
    candidate: PlaceCandidate,
    tried: ProviderKeys,
    now: datetime,
) -> Place | None:
    provider = candidate.provider
    avoiding = {ref for name, ref in tried if name == provider} | candidate.avoiding
    excluding = {ref for ref in avoiding if ref is not None}
    card = services.card(provider)
    which: Any = {
        "model_id": session.model_id,
        "ref": session.pinned_credential,
        "excluding": sorted(excluding),
    }
    if card is not None and card.identity.exclusive_credentials:
        credential = tx.credentials.take(provider, now, **which)
    else:
        credential = tx.credentials.share(provider, now, crc32(session.id.encode()), **which)
    if credential is not None:
        return Place(provider=provider, credential=credential, at=now)
    keyless = not services.config.providers[provider].all_credentials and session.pinned_credential is None
    if keyless and None not in avoiding and provider not in tx.rate_limits.without_key(session.model_id, now):
        return Place(provider=provider, credential=None, at=now)
    return None


def _tried(services: Services, earlier: Sequence[Placement]) -> ProviderKeys:
    """Return the places where another attempt would be in vain."""
    cards = {one.provider: services.card(one.provider) for one in earlier}
    opens_anew = {
        name
        for name, card in cards.items()
        if card is not None and card.lifecycle.managed and not card.lifecycle.attaches
    }
    return tried_in_vain(earlier, opens_anew)
