"""Change sessions: each route is the job of the same name."""

from collections.abc import Collection, Mapping
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from orchestrator.api.bodies import body_of, no_body
from orchestrator.api.callers import Caller, caller_of, needs_sessions, process_of
from orchestrator.api.documents import describes
from orchestrator.api.jobs import carry_out
from orchestrator.api.parameters import SessionId
from orchestrator.api.problems import ApiCode, Problem, fault, invalid
from orchestrator.client import requests, resources
from orchestrator.client.parsing import parse
from orchestrator.flows.jobs import lookup
from orchestrator.rules.refusals import Refusal
from orchestrator.rules.values import ModelSource, Scope
from orchestrator.store.transaction import Precondition, Transaction

router = APIRouter(tags=["sessions"])

#: What a token of one account may not choose: they reach beyond its account.
NOT_FOR_ONE_ACCOUNT = ("session_id", "credential", "attach")
_NEW = {"account_id": "acme", "model_id": "llama-3.1-8b", "stop": {"max_duration_seconds": 3600}}
_BATCH = {"batch": [{"session_id": "3c6e0b8a-9c15-4f2a-8b1f-7d2f5c9e1a44", "count": 3}]}


@router.post(
    "/sessions",
    **describes(
        Scope.OPERATE,
        resources.SessionResource,
        status=201,
        errors=(404,),
        body=requests.CreateSession,
        job=True,
        example=_NEW,
    ),
)
async def create_session(request: Request) -> JSONResponse:
    """Create a session, and start it unless `start` is false. Send an `Idempotency-Key`, so that a repeated request
    creates no second one."""
    body, caller = await body_of(request), caller_of(request)
    if caller.account_id is None:
        return await carry_out(request, "session.create", body, status=201)
    body = _within_the_account(caller, body)
    visible = await _model_is_visible(request, caller, body.get("model_id"))
    return await carry_out(request, "session.create", body, status=201, precondition=visible)


@router.post(
    "/sessions/{session_id}/start",
    **describes(
        Scope.OPERATE,
        resources.SessionResource,
        errors=(404,),
        body=requests.StartSession,
        without="session_id",
        needs_body=False,
        job=True,
        example={"on_quota": "queue"},
    ),
)
async def start_session(request: Request, session_id: SessionId) -> JSONResponse:
    """Start a session that was created without starting."""
    return await _on_session(request, session_id, "session.start")


@router.post(
    "/sessions/{session_id}/close",
    **describes(
        Scope.OPERATE,
        resources.CloseResource,
        errors=(404,),
        body=requests.CloseSession,
        without="session_id",
        needs_body=False,
        job=True,
        example={"reason": "user", "detail": "no longer needed"},
    ),
)
async def close_session(request: Request, session_id: SessionId) -> JSONResponse:
    """Close a session. The answer comes once the stop is decided; `state` is `stopped` once the provider has confirmed
    it. `confirm`, `force` and the reason `operator` need the scope `admin`."""
    body = await body_of(request, required=False)
    if body.get("confirm") or body.get("force") or body.get("reason") == "operator":
        caller_of(request).needs(Scope.ADMIN)
    if body.get("force"):
        body.setdefault("by", caller_of(request).token.name)
    return await _on_session(request, session_id, "session.close", body)


@router.post(
    "/sessions/{session_id}/extend",
    **describes(
        Scope.OPERATE,
        resources.SessionResource,
        errors=(404,),
        body=requests.ExtendSession,
        without="session_id",
        job=True,
        example={"max_duration_seconds": 7200},
    ),
)
async def extend_session(request: Request, session_id: SessionId) -> JSONResponse:
    """Raise a session's own limits: the numbers are new totals, not additions."""
    return await _on_session(request, session_id, "session.extend", await body_of(request))


@router.post(
    "/sessions/{session_id}/ping",
    **describes(Scope.OPERATE, resources.SessionResource, errors=(404,), job=True),
)
async def ping_session(request: Request, session_id: SessionId) -> JSONResponse:
    """Make the session's next ping due now. The answer does not wait for the ping: read its result from the session."""
    await no_body(request)
    return await _on_session(request, session_id, "session.ping", {})


@router.delete(
    "/sessions/{session_id}",
    **describes(Scope.OPERATE, resources.SessionResource, errors=(404,), job=True),
)
async def delete_session(request: Request, session_id: SessionId) -> JSONResponse:
    """Delete a session that has ended or never started, which frees its place and its name."""
    await no_body(request)
    return await _on_session(request, session_id, "session.delete", {})


@router.post(
    "/interactions",
    **describes(
        Scope.OPERATE,
        resources.InteractionsResource,
        errors=(404,),
        body=requests.RecordInteractions,
        job=True,
        example=_BATCH,
    ),
)
async def record_interactions(request: Request) -> JSONResponse:
    """Report interactions in a batch. Under the same `Idempotency-Key` it counts once. Items that are not counted are
    in `rejected`."""
    body = await body_of(request)
    if caller_of(request).account_id is not None:
        await needs_sessions(request, *_sessions_of(body))
    return await carry_out(request, "session.record_interactions", body)


def _sessions_of(body: Mapping[str, Any]) -> Collection[str]:
    """Return the sessions that a batch names; none if it is invalid, as the job refuses it."""
    try:
        batch = parse("orchestrator.session.record_interactions", body)
    except Refusal:
        return ()
    assert isinstance(batch, requests.RecordInteractions)
    return {one.session_id for one in batch.batch}


async def _on_session(
    request: Request, session_id: str, name: str, body: dict[str, Any] | None = None
) -> JSONResponse:
    await needs_sessions(request, session_id)
    body = await body_of(request, required=False) if body is None else body
    if "session_id" in body:
        raise invalid(fault("session_id", "the path names the session: leave it out of the body"))
    return await carry_out(request, name, {**body, "session_id": session_id})


def _within_the_account(caller: Caller, body: dict[str, Any]) -> dict[str, Any]:
    """Return the body for the caller's own account. Raises Problem if it reaches beyond."""
    account_id = body.get("account_id", caller.account_id)
    if isinstance(account_id, str):
        caller.needs_account(account_id)
    chosen = [name for name in NOT_FOR_ONE_ACCOUNT if body.get(name) is not None]
    if chosen:
        message = f"{chosen[0]} needs a token that is not bound to one account"
        raise Problem(ApiCode.FORBIDDEN, message)
    return {**body, "account_id": account_id}


async def _model_is_visible(request: Request, caller: Caller, model_id: object) -> Precondition | None:
    """Return the condition that another account's private model does not meet: the job refuses it as it does a model
    that does not exist."""
    if not (isinstance(model_id, str) and model_id.isascii() and model_id.isprintable()):
        return None  # the job refuses it
    model = await process_of(request).read(lambda tx: tx.models.get(model_id))
    if model is None or model.source is not ModelSource.PRIVATE or model.owner == caller.account_id:
        return None

    def check(_: Transaction) -> None:
        lookup.known_model(None, model_id)

    return check
