"""Where a running session is reached."""

from typing import Any

from orchestrator.flows.reports import views
from orchestrator.rules.refusals import ErrorCode, Refusal
from orchestrator.rules.states import State
from orchestrator.rules.values import Session
from orchestrator.store.transaction import Transaction


def endpoint_of(tx: Transaction, session: Session) -> dict[str, Any]:
    """Return URL, model, auth and secret reference. Raises Refusal(invalid_state) unless the session runs."""
    endpoint: dict[str, Any] | None = views.of_session(tx, session, tx.now())["endpoint"]
    if endpoint is None:
        message = (
            f"session {session.id} is {session.state.value} ({_why(session)}): only a running session hands "
            "out its endpoint"
        )
        raise Refusal(ErrorCode.INVALID_STATE, message, session_id=session.id, state=session.state.value)
    return endpoint


def _why(session: Session) -> str:
    """Return what the session waits for, or why it is over."""
    match session.state:
        case State.CREATED:
            return "not started"
        case State.QUEUED:
            return f"waits for {session.queue_reason or 'its turn'}"
        case State.STARTING | State.RUNNING:
            return f"last ping: {session.last_ping_detail or session.last_verdict or 'none yet'}"
        case State.STOPPING | State.STOPPED | State.FAILED:
            return ": ".join(part for part in (session.stop_reason, session.stop_detail) if part)
