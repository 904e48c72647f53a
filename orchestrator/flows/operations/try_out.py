"""Ask a running session's model a question for a person, and count that as an interaction."""

from datetime import datetime

from orchestrator.flows.engine.services import Services
from orchestrator.flows.jobs.perform import perform_once
from orchestrator.providers.port.driver import Auth, Endpoint
from orchestrator.providers.port.questions import Question, Reply
from orchestrator.rules.events import rfc3339
from orchestrator.rules.refusals import ErrorCode, Refusal
from orchestrator.rules.states import PlacementState, State
from orchestrator.rules.values import ModelType, Placement
from orchestrator.store.transaction import Transaction

_COUNT = "orchestrator.session.record_interactions"


def try_out(services: Services, session_id: str, question: Question, *, task_id: str, author: str) -> Reply:
    """Ask once, with no transaction open, and count it under `task_id`.

    Raises Refusal unless the session runs, and this process has its secret."""
    with services.database.reading() as tx:
        placement, began = _serving(tx, session_id), tx.now()
    secret = services.secret(placement.secret_ref)
    if services.lacks(placement):
        raise Refusal(ErrorCode.INVALID_STATE, f"this process lacks the secret {placement.secret_ref}")
    assert services.conversation is not None
    reply = services.loop.run(
        services.conversation.ask(
            _endpoint(placement), secret, question, attached=placement.attach is not None
        )
    )
    _count(services, session_id, began, reply, task_id, author)
    return reply


def type_of(tx: Transaction, session_id: str) -> ModelType:
    """Return the type of the model that serves this running session. Raises Refusal where none does."""
    return _serving(tx, session_id).model_type


def _serving(tx: Transaction, session_id: str) -> Placement:
    session = tx.sessions.get(session_id)
    serving = [one for one in tx.placements.of_session(session_id) if one.state is PlacementState.OPEN]
    if session is None or session.state is not State.RUNNING or not serving:
        message = f"session {session_id} does not run: only a running session can be tried"
        raise Refusal(ErrorCode.INVALID_STATE, message, session_id=session_id)
    return serving[-1]


def _endpoint(placement: Placement) -> Endpoint:
    return Endpoint(
        url=placement.endpoint_url or "",
        model=placement.endpoint_model or "",
        auth=Auth(placement.endpoint_auth or Auth.NONE),
        secret_ref=placement.secret_ref,
    )


def _count(
    services: Services, session_id: str, began: datetime, reply: Reply, task_id: str, author: str
) -> None:
    with services.database.reading() as tx:
        ended = tx.now()
    item = {
        "session_id": session_id,
        "count": 1,
        "ok": reply.ok,
        "began": rfc3339(began),
        "ended": rfc3339(ended),
    }
    perform_once(services, task_id, _COUNT, {"batch": [item]}, author=author)
