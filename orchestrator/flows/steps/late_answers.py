"""Record answers that come after the lease was lost: call nothing and decide nothing, but keep every handle."""

from dataclasses import replace
from datetime import datetime
from typing import Any

from orchestrator.flows.engine.provider_steps import Answer
from orchestrator.flows.engine.services import Services
from orchestrator.flows.lifecycle import orphans
from orchestrator.flows.steps.under_lease import Held
from orchestrator.providers.port.driver import Placed
from orchestrator.rules.sessions.names import is_usable_handle
from orchestrator.rules.states import UNENDED
from orchestrator.rules.upstream.placements import ends_at
from orchestrator.rules.values import Placement
from orchestrator.store.transaction import Transaction


def record(services: Services, tx: Transaction, held: Held, answer: Answer[Any, Any]) -> None:
    """Save a handle that is not known yet: as the candidate for `resolve`, or as an orphan to be closed."""
    placement = held.placement
    if not isinstance(answer.said, Placed) or answer.said.handle == placement.handle:
        return
    if not is_usable_handle(answer.said.handle):
        return  # nothing can be addressed by it
    handle = answer.said.handle
    if placement.handle is None and placement.state in UNENDED and placement.candidate in (None, handle):
        tx.placements.save(placement, replace(placement, candidate=handle))
    elif not tx.placements.handle_is_known(placement.provider, handle):
        lasts = answer.said.lasts_seconds or placement.duration_seconds
        end = ends_at(placement, answer.said.ends_at, lasts, tx.now())
        orphans.add_of(services, tx, placement, handle, tx.now(), end)


def disown_candidate(
    services: Services, tx: Transaction, placement: Placement, handle: str, now: datetime
) -> None:
    """Add an orphan for the candidate that a late answer left, if `resolve` found another handle."""
    candidate = placement.candidate
    if (
        candidate is None
        or candidate == handle
        or tx.placements.handle_is_known(placement.provider, candidate)
    ):
        return
    end = ends_at(placement, None, placement.duration_seconds, now)
    orphans.add_of(services, tx, placement, candidate, now, end)
