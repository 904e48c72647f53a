"""Change sessions: each route is the job of the same name."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from orchestrator.api.bodies import body_of
from orchestrator.api.callers import Caller, caller_of, needs_sessions, process_of, unknown_model
from orchestrator.api.documents import describes
from orchestrator.api.jobs import carry_out
from orchestrator.api.parameters import SessionId
from orchestrator.api.problems import ApiCode, Problem, fault, invalid
from orchestrator.client import requests, resources
from orchestrator.rules.values import ModelSource, Scope

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
    if caller.account_id is not None:
        body = await _within_the_account(request, caller, body)
    return await carry_out(request, "session.create", body, status=201)


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
    return await _on_session(request, session_id, "session.ping", {})


@router.delete(
    "/sessions/{session_id}",
    **describes(Scope.OPERATE, resources.SessionResource, errors=(404,), job=True),
)
async def delete_session(request: Request, session_id: SessionId) -> JSONResponse:
    """Delete a session that has ended or never started, which frees its place and its name."""
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
    batch = body.get("batch")
    if isinstance(batch, list) and caller_of(request).account_id is not None:
        named = [item.get("session_id") for item in batch if isinstance(item, dict)]
        await needs_sessions(request, *{one for one in named if isinstance(one, str)})
    return await carry_out(request, "session.record_interactions", body)


async def _on_session(
    request: Request, session_id: str, name: str, body: dict[str, Any] | None = None
) -> JSONResponse:
    await needs_sessions(request, session_id)
    body = await body_of(request, required=False) if body is None else body
    if "session_id" in body:
        raise invalid(fault("session_id", "the path names the session: leave it out of the body"))
    return await carry_out(request, name, {**body, "session_id": session_id})


async def _within_the_account(request: Request, caller: Caller, body: dict[str, Any]) -> dict[str, Any]:
    """Return the body for the caller's own account. Raises Problem where it reaches beyond."""
    account_id = body.get("account_id", caller.account_id)
    if isinstance(account_id, str):
        caller.needs_account(account_id)
    chosen = [name for name in NOT_FOR_ONE_ACCOUNT if body.get(name) is not None]
    if chosen:
        message = f"{chosen[0]} needs a token that is not bound to one account"
        raise Problem(ApiCode.FORBIDDEN, message)
    model_id = body.get("model_id")
    if isinstance(model_id, str) and model_id.isascii() and model_id.isprintable():
        model = await process_of(request).read(lambda tx: tx.models.get(model_id))
        if model is not None and model.source is ModelSource.PRIVATE and model.owner != caller.account_id:
            raise unknown_model(model_id)
    return {**body, "account_id": account_id}
