"""Close a session: the stop is decided here, the closing at the provider is somebody else's step."""

from collections.abc import Mapping
from typing import Any

from orchestrator.client.requests import CloseSession
from orchestrator.flows import found, placing, views
from orchestrator.flows.account_work import AccountWork
from orchestrator.flows.services import Services
from orchestrator.rules.states import TERMINAL, PlacementState, State, StopReason
from orchestrator.rules.values import Session
from orchestrator.store.unit import Transaction


def close_session(services: Services, tx: Transaction, request: CloseSession) -> Mapping[str, Any]:
    """The session, stopping or stopped. One that is over already stays as it ended."""
    work, session = found.session(services, tx, request.session_id)
    if session.state not in TERMINAL | {State.STOPPING}:
        session = work.stop(session, StopReason(request.reason), work.now, request.detail)
    if request.confirm:
        session = _confirm(work, session, request.detail)
    work.finish()
    return views.of_session(tx, session, work.now)


def _confirm(work: AccountWork, session: Session, detail: str | None) -> Session:
    """An operator says that it is gone: the proof for platforms that cannot be asked."""
    proof = f"an operator confirmed it: {detail}" if detail else "an operator confirmed it"
    for placement in work.tx.placements.unended(session.id):
        if placement.state is PlacementState.CLOSING:
            placing.closed(work.tx, placement, proof, work.now)
        else:
            placing.never_opened(work.tx, placement, proof, work.now)
    return placing.session_may_be_over(work, session)
