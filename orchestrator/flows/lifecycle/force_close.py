"""Let an operator end placements, with a proof or without. An end without proof stays in the report for good."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from orchestrator.client.requests import CloseSession
from orchestrator.flows.engine.services import Services
from orchestrator.flows.lifecycle import transitions
from orchestrator.rules.states import UNENDED, PlacementState, Step
from orchestrator.rules.upstream.placements import may_close_at_once
from orchestrator.rules.values import Due, Placement
from orchestrator.store.transaction import Transaction

#: The states that an open with an unknown outcome passes through: the transitions allow no shorter way.
_ON_THE_WAY: Mapping[PlacementState, Sequence[PlacementState]] = {
    PlacementState.OPENING: (PlacementState.UNKNOWN, PlacementState.CLOSING),
    PlacementState.UNKNOWN: (PlacementState.CLOSING,),
    PlacementState.OPEN: (PlacementState.CLOSING,),
}


def end(tx: Transaction, placement: Placement, request: CloseSession, now: datetime) -> Placement:
    """End the placement by the request's `confirm` or `force`; with neither, leave it as it is."""
    if placement.state not in UNENDED:
        return placement
    if request.force:
        return _force(tx, placement, request.by or "", request.detail or "", now)
    return _confirm(tx, placement, request.detail, now) if request.confirm else placement


def close_orphan(services: Services, tx: Transaction, orphan: Placement, request: CloseSession) -> Placement:
    """End the orphan by hand, or retry its close at once. `orphan` is locked."""
    now = tx.now()
    ended = end(tx, orphan, request, now)
    card = services.card(orphan.provider)
    by_id = card is not None and card.lifecycle.closes_by_id
    return retry(tx, ended, now) if by_id else ended


def retry(tx: Transaction, placement: Placement, now: datetime) -> Placement:
    """Try a close again at once, if one is due later and none is under way. The placement is locked."""
    if not may_close_at_once(placement, now):
        return placement
    tx.placements.wake(Step.CLOSE)
    return tx.placements.save(placement, replace(placement, due=Due(Step.CLOSE, now)))


def _confirm(tx: Transaction, placement: Placement, detail: str | None, now: datetime) -> Placement:
    """End the placement because an operator says that it is gone: this is the proof at platforms that cannot be
    asked."""
    proof = f"an operator confirmed it: {detail}" if detail else "an operator confirmed it"
    if placement.state is PlacementState.CLOSING:
        return transitions.end_closed(tx, placement, proof, now)
    return transitions.end_never_opened(tx, placement, proof, now)


def _force(tx: Transaction, placement: Placement, by: str, why: str, now: datetime) -> Placement:
    """End the placement without proof. The row records the operator, the reason and the time."""
    marked = replace(
        placement,
        forced_at=now,
        forced_by=by,
        forced_why=why,
        closing_since=placement.closing_since or now,
    )
    current = tx.placements.save(placement, marked)
    for state in _ON_THE_WAY.get(placement.state, ()):
        step = Step.CLOSE if state is PlacementState.CLOSING else Step.RESOLVE
        current = tx.placements.save(current, replace(current, state=state, due=Due(step, now)))
    return transitions.end_closed(
        tx, current, f"none: {by} forced it without the provider's proof: {why}", now
    )
