"""Delete a session that has ended or never started: it frees its place and name, and its record stays."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from orchestrator.client.requests import DeleteSession
from orchestrator.flows.engine.services import Services
from orchestrator.flows.jobs import lookup
from orchestrator.flows.lifecycle import archived, transitions
from orchestrator.flows.reports import views
from orchestrator.rules.states import TERMINAL, State, StopReason
from orchestrator.store.transaction import Transaction


def delete_session(services: Services, tx: Transaction, request: DeleteSession) -> Mapping[str, Any]:
    """Delete the session, and return what is kept: ledger and tombstone."""
    left = archived.delete(services, tx, request.session_id)
    if left is not None:
        return left
    work, session = lookup.session(services, tx, request.session_id)
    if session.state is State.QUEUED:
        session = transitions.stop(work, session, StopReason.USER, work.now, "deleted while it waited")
    if session.state not in TERMINAL | {State.CREATED}:
        raise lookup.wrong_state(
            session, "a session that is over or never started can be deleted; close it first"
        )
    saved = work.keep(session, replace(session, deleted_at=work.now))
    work.note_freed_capacity()
    work.finish()
    return views.of_session(tx, saved, work.now)
