"""Close a session: decide its stop here; the close at the provider is a step of its own."""

from collections.abc import Mapping
from typing import Any

from orchestrator.client.requests import CloseSession
from orchestrator.flows.engine.services import Services
from orchestrator.flows.jobs import lookup
from orchestrator.flows.lifecycle import archived, failover, force_close, transitions
from orchestrator.flows.lifecycle.account_work import AccountWork
from orchestrator.flows.reports import leftovers, views
from orchestrator.rules.states import TERMINAL, State, StopReason
from orchestrator.rules.values import Session
from orchestrator.store.transaction import Transaction


def close_session(services: Services, tx: Transaction, request: CloseSession) -> Mapping[str, Any]:
    """Stop the session; return it with the state in which it was found. Where its stop is decided and a close is still
    without proof, that close is tried again at once. One that has ended already is returned unchanged.

    The id of an orphan's placement is taken as well: its close is retried, or an operator ends it."""
    live = lookup.live_session(services, tx, request.session_id)
    if live is None:
        return _close_what_is_left(services, tx, request)
    work, session = live
    found_as = session.state
    if session.state not in TERMINAL | {State.STOPPING}:
        session = transitions.stop(work, session, StopReason(request.reason), work.now, request.detail)
    if request.confirm or request.force:
        session = _force_close(work, session, request)
    elif found_as is State.STOPPING:
        _retry(work, session)
    work.finish()
    placements = work.placements.get(session.id)
    return {**views.of_session(tx, session, work.now, placements), "found_state": found_as.value}


def _close_what_is_left(services: Services, tx: Transaction, request: CloseSession) -> Mapping[str, Any]:
    """Close an orphan or an archived session. Raises Refusal if the id is neither."""
    orphan = tx.leftovers.lock_orphan(request.session_id)
    if orphan is not None:
        return leftovers.of_close(force_close.close_orphan(services, tx, orphan, request), tx.now())
    over = archived.lock(services, tx, request.session_id)
    if over is None:
        raise lookup.unknown(request.session_id)
    work, session = over
    work.finish()
    return {**archived.view(session, work.now), "found_state": session.state.value}


def _retry(work: AccountWork, session: Session) -> None:
    for placement in work.tx.placements.unended(session.id):
        if placement.unproven_since is not None:
            force_close.retry(work.tx, placement, work.now)


def _force_close(work: AccountWork, session: Session, request: CloseSession) -> Session:
    for placement in work.tx.placements.unended(session.id):
        force_close.end(work.tx, placement, request, work.now)
    work.placements.pop(session.id, None)
    return failover.finish_if_closed(work, session)
