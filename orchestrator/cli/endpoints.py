"""The endpoint of a running session, its secret, and code that uses both."""

from typing import TYPE_CHECKING, Any

from orchestrator.cli.failures import Complaint
from orchestrator.cli.reading import found_session
from orchestrator.cli.samples import LANGUAGES, Sample
from orchestrator.rules.refusals import ErrorCode, Refusal
from orchestrator.rules.states import State
from orchestrator.rules.values import ModelType, Session

if TYPE_CHECKING:
    from orchestrator.store.transaction import Transaction


def endpoint_of(tx: "Transaction", session_id: str) -> dict[str, Any]:
    """Return URL, model, auth and secret reference. Raises Refusal(invalid_state) unless the session runs."""
    from orchestrator.flows.reports import views

    session = found_session(tx, session_id)
    endpoint: dict[str, Any] | None = views.of_session(tx, session, tx.now())["endpoint"]
    if endpoint is None:
        message = (
            f"session {session_id} is {session.state.value} ({_why(session)}): only a running session hands "
            "out its endpoint"
        )
        raise Refusal(ErrorCode.INVALID_STATE, message, session_id=session_id, state=session.state.value)
    return endpoint


def samples_of(tx: "Transaction", session_id: str, endpoint: dict[str, Any]) -> dict[str, str]:
    """Return sample code by language."""
    newest = tx.placements.newest([session_id])[session_id]
    sample = Sample(**endpoint, speech=newest.model_type is ModelType.ASR)
    return {language: write(sample) for language, write in LANGUAGES.items()}


def revealed(endpoint: dict[str, Any]) -> str | None:
    """Return the secret behind the reference; None if none is needed. Raises Complaint if this machine lacks it."""
    from orchestrator import wiring
    from orchestrator.settings import load_settings

    ref = endpoint["secret_ref"]
    if ref is None:
        return None
    secrets = wiring.secret_store(load_settings())
    missing = secrets.why_missing(ref)
    if missing:
        raise Complaint(f"the secret {ref} is not on this machine: {missing}")
    return secrets.get(ref)


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
