"""Ping a session now, out of turn."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from orchestrator.client.requests import PingSession
from orchestrator.flows.engine.services import Services
from orchestrator.flows.jobs import lookup
from orchestrator.flows.reports import views
from orchestrator.rules.states import State
from orchestrator.store.transaction import Transaction


def ping_session(services: Services, tx: Transaction, request: PingSession) -> Mapping[str, Any]:
    """Make the session's ping due, and return it."""
    work, session = lookup.session(services, tx, request.session_id)
    if session.state not in {State.STARTING, State.RUNNING} or session.ping_at is None:
        raise lookup.wrong_state(session, "a session with an open placement can be pinged")
    saved = work.keep(session, work.planned(replace(session, ping_at=work.now)))
    work.finish()
    return views.of_session(tx, saved, work.now)
