"""Ask a running session's model a question for a person, and count that as an interaction."""

from datetime import datetime

from orchestrator.client.outcomes import succeeded
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
#: The question in the inbox, beside the job that counts it.
_ASKED = "orchestrator.console.ask"


def try_out(services: Services, session_id: str, question: Question, *, task_id: str, author: str) -> Reply:
    """Ask, with no transaction open, and count it: both once under `task_id`.

    Raises Refusal unless the session runs, this process has its secret, and the question is new."""
    with services.database.reading() as tx:
        placement, began = _serving(tx, session_id), tx.now()
    secret = services.secret(placement.secret_ref)
    if services.lacks(placement):
        raise Refusal(ErrorCode.INVALID_STATE, f"this process lacks the secret {placement.secret_ref}")
    assert services.conversation is not None
    services.database.transact(lambda tx: _begin(tx, session_id, task_id, author))
    reply = services.loop.run(
        services.conversation.ask(
            _endpoint(placement), secret, question, attached=placement.attach is not None
        )
    )
    _count(services, session_id, began, reply, f"{task_id}-count", author)
    return reply


def type_of(tx: Transaction, session_id: str) -> ModelType:
    """Return the type of the model that serves this running session. Raises Refusal if none does."""
    return _serving(tx, session_id).model_type


def _serving(tx: Transaction, session_id: str) -> Placement:
    session = tx.sessions.get(session_id)
    serving = [one for one in tx.placements.of_session(session_id) if one.state is PlacementState.OPEN]
    if session is None or session.state is not State.RUNNING or not serving:
        message = f"session {session_id} does not run: only a running session can be tried"
        raise Refusal(ErrorCode.INVALID_STATE, message, session_id=session_id)
    return serving[-1]


def _begin(tx: Transaction, session_id: str, task_id: str, author: str) -> None:
    """Record that it is asked. Raises Refusal if it was: the model would answer twice, and one answer would not be
    counted."""
    if not tx.inbox.take(task_id, _ASKED, tx.now(), author=author):
        message = "this question was sent before, and nothing was sent again: load the page to ask once more"
        raise Refusal(ErrorCode.CONFLICT, message, session_id=session_id)
    tx.inbox.settle(task_id, succeeded({"id": session_id}))


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
