"""Answers that come after the lease was lost: nothing is called and nothing decided, but no handle is dropped."""

import uuid
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from orchestrator.flows.claims import Answer, Held
from orchestrator.flows.services import Services
from orchestrator.providers.driver import Placed
from orchestrator.rules.states import UNENDED, PlacementState, Step
from orchestrator.rules.values import Placement
from orchestrator.store.unit import Transaction


def record(services: Services, tx: Transaction, held: Held, answer: Answer[Any]) -> None:
    """Keep the handle: as the candidate for `resolve`, as nothing new, or as an orphan to be closed."""
    placement = held.placement
    if not isinstance(answer.said, Placed) or answer.said.handle == placement.handle:
        return
    handle = answer.said.handle
    if placement.handle is None and placement.state in UNENDED and placement.candidate in (None, handle):
        tx.placements.save(placement, replace(placement, candidate=handle))
    elif not tx.placements.handle_is_known(placement.provider, handle):
        _add_orphan(services, tx, placement, handle, tx.now(), _end_of(placement, answer.said, tx.now()))


def disown_candidate(
    services: Services, tx: Transaction, placement: Placement, handle: str, now: datetime
) -> None:
    """`resolve` found another handle than the one that a late worker saw: that one is an orphan."""
    candidate = placement.candidate
    if (
        candidate is None
        or candidate == handle
        or tx.placements.handle_is_known(placement.provider, candidate)
    ):
        return
    ends_at = (placement.sent_at or now) + timedelta(seconds=placement.duration_seconds)
    _add_orphan(services, tx, placement, candidate, now, ends_at)


def _end_of(placement: Placement, placed: Placed, now: datetime) -> datetime:
    lasts = timedelta(seconds=placed.lasts_seconds or placement.duration_seconds)
    return placed.ends_at or (placement.sent_at or now) + lasts


def _add_orphan(
    services: Services, tx: Transaction, of: Placement, handle: str, now: datetime, ends_at: datetime
) -> None:
    """Closed by its id where the platform can; where a key is the only address, a close would hit the key's next
    user: there it is reported, and its declared end is the proof."""
    card = services.card(of.provider)
    by_id = card is not None and card.closes_by_id
    origin: Mapping[str, Any] = {"orphan_of": of.id, "named": of.id}
    orphan = replace(
        of,
        id=str(uuid.uuid4()),
        session_id=None,
        state=PlacementState.CLOSING,
        exclusive=False,
        options=origin,
        handle=handle,
        candidate=None,
        created_at=now,
        closing_since=now,
        declared_end_at=ends_at,
        last_answer="opened by a worker that had lost its lease",
        next_step=Step.CLOSE,
        next_step_at=now if by_id else max(now, ends_at),
        lease_token=None,
        lease_until=None,
        attempts=0,
        revision=0,
    )
    tx.placements.insert(orphan)
    tx.placements.wake(Step.CLOSE)
