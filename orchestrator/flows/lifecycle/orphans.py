"""Orphans: rows for resources that live at a provider without a session. Each is closed until there is proof."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from orchestrator.flows.engine.services import Services
from orchestrator.rules.billing.money import MICRO
from orchestrator.rules.reconcile.lists import ListedResource
from orchestrator.rules.states import PlacementState, Step
from orchestrator.rules.upstream.placements import orphan_closes_at
from orchestrator.rules.values import Due, ModelType, Placement
from orchestrator.store.transaction import Transaction

_LATE = "opened by a worker that had lost its lease"


#: Fields that an orphan does not take from its origin: it has no session, and is being closed.
_NOT_INHERITED: Mapping[str, Any] = {
    **dict.fromkeys(
        (
            "session_id",
            "candidate",
            "freed_at",
            "opened_at",
            "orphans_at_most",
            "lost_at",
            "unproven_since",
            "ended_at",
            "proof",
            "refused_by",
            "forced_at",
            "forced_by",
            "forced_why",
            "lease",
        )
    ),
    "state": PlacementState.CLOSING,
    "exclusive": False,
    "possible_orphans": False,
    "attempts": 0,
    "revision": 0,
}
#: Fields of a resource of which nothing is known.
_UNKNOWN: Mapping[str, Any] = {
    "session_id": None,
    "account_id": None,
    "n": 0,
    "model_id": "unknown",
    "provider_model_id": "unknown",
    "model_type": ModelType.LLM,
    "duration_seconds": 0,
}


def add_of(
    services: Services,
    tx: Transaction,
    of: Placement,
    handle: str,
    now: datetime,
    ends_at: datetime | None,
    why: str = _LATE,
) -> Placement:
    """Add the orphan of a placement: that placement's open made it. Where the platform can, it is closed by its id.

    Where a key is the only address, a close would end the session of the key's next user. Such an orphan is only
    reported, and its declared end is the proof."""
    card = services.card(of.provider)
    by_id = card is not None and card.lifecycle.closes_by_id
    origin: Mapping[str, Any] = {"orphan_of": of.id, "named": of.id}
    orphan = replace(
        of,
        **_NOT_INHERITED,
        id=tx.identity.new_id(),
        options=origin,
        handle=handle,
        created_at=now,
        closing_since=now,
        declared_end_at=ends_at,
        last_answer=why,
        due=Due(Step.CLOSE, orphan_closes_at(ends_at, now, closes_by_id=by_id)),
    )
    tx.placements.wake(Step.CLOSE)
    return tx.placements.insert(orphan)


def add_unknown_resource(
    services: Services,
    tx: Transaction,
    provider: str,
    credential: str | None,
    resource: ListedResource,
    now: datetime,
    since: datetime,
    why: str,
) -> Placement:
    """Add the row of an orphan with an unknown origin. Its price is the list's, or else that of the dearest model
    there: money at risk should be overestimated rather than underestimated."""
    card = services.card(provider)
    price, currency = _price(tx, provider, resource)
    row = Placement(
        **_UNKNOWN,
        id=tx.identity.new_id(),
        provider=provider,
        credential=credential,
        fingerprint=None if credential is None else services.secrets.fingerprint(credential),
        serialised=card is not None and card.identity.serialised and credential is not None,
        price_per_node_hour=price,
        currency=currency,
        state=PlacementState.CLOSING,
        options={"named": resource.name} if resource.name else {},
        handle=resource.handle,
        created_at=now,
        closing_since=since,
        declared_end_at=resource.ends_at,
        last_answer=why,
        due=Due(Step.CLOSE, now),
    )
    tx.placements.wake(Step.CLOSE)
    return tx.placements.insert(row)


def _price(tx: Transaction, provider: str, resource: ListedResource) -> tuple[Decimal, str]:
    served = [model for model in tx.models.listed() if provider in model.providers]
    dearest = max(served, key=lambda model: model.price_per_node_hour, default=None)
    price, currency = (dearest.price_per_node_hour, dearest.currency) if dearest else (Decimal(0), "USD")
    listed = resource.price_per_hour
    return price if listed is None else listed.quantize(MICRO), currency
