"""Start a session that was created without starting."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from orchestrator.client.requests import StartSession
from orchestrator.flows.engine.services import Services
from orchestrator.flows.jobs import lookup
from orchestrator.flows.lifecycle import admission
from orchestrator.flows.reports import views
from orchestrator.rules.states import State
from orchestrator.store.transaction import Transaction


def start_session(services: Services, tx: Transaction, request: StartSession) -> Mapping[str, Any]:
    """Start the session, and return it, starting or queued."""
    work, session = lookup.session(services, tx, request.session_id)
    if session.state is not State.CREATED:
        raise lookup.wrong_state(session, "a created session can be started")
    model = lookup.model(tx, session.model_id)
    wanted = replace(session, on_quota=request.on_quota or session.on_quota)
    admission.check_nodes(work, wanted, model)
    saved = admission.enter(work, session, wanted, model)
    work.finish()
    return views.of_session(tx, saved, work.now)
