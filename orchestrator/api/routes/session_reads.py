"""Read sessions."""

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import JSONResponse

from orchestrator.api.callers import caller_of, needs_sessions, process_of, unknown_account
from orchestrator.api.documents import describes
from orchestrator.api.feed import Feed, TooSlow
from orchestrator.api.parameters import After, Limit, SessionId, session_filter
from orchestrator.api.problems import ApiCode, Problem, unauthenticated
from orchestrator.client import resources
from orchestrator.flows.jobs import lookup, reads
from orchestrator.flows.lifecycle import archived
from orchestrator.flows.reports.cloud_events import cloud_event
from orchestrator.flows.reports.cursors import behind_of
from orchestrator.flows.reports.endpoint import endpoint_of
from orchestrator.flows.reports.explain import explain
from orchestrator.rules.states import TERMINAL, State
from orchestrator.rules.values import Scope, Session
from orchestrator.store.queries.pages import SessionFilter
from orchestrator.store.transaction import Transaction

router = APIRouter(tags=["sessions"])

#: The longest that one request waits for a state, and the longest between two looks without an event. Seconds.
LONGEST_WAIT, LOOK_EVERY = 60.0, 5.0
_ENDED = frozenset(state.value for state in TERMINAL)


@router.get("/sessions", **describes(Scope.READ, resources.SessionPageResource, errors=(404,)))
async def list_sessions(
    request: Request,
    wanted: Annotated[SessionFilter, Depends(session_filter)],
    limit: Limit = 50,
    after: After = None,
) -> JSONResponse:
    """List sessions that are not deleted, newest first. New sessions do not move the pages."""
    caller = caller_of(request)
    wanted = bound_to(wanted, caller.account_id)
    behind = behind_of(after)

    page = await process_of(request).read(lambda tx: reads.session_page(tx, wanted, limit, behind))
    return JSONResponse(page)


@router.get("/sessions/{session_id}", **describes(Scope.READ, resources.SessionResource, errors=(404,)))
async def get_session(
    request: Request,
    session_id: SessionId,
    wait_for: Annotated[
        State | None, Query(description="Answer once the session is in this state, or has ended.")
    ] = None,
    timeout: Annotated[  # noqa: ASYNC109
        float, Query(ge=0, le=LONGEST_WAIT, allow_inf_nan=False, description="Seconds to wait at most.")
    ] = 30.0,
) -> JSONResponse:
    """Return one session; an archived or deleted one as it was. With `wait_for`, answer later: look at `state`, since
    the time may be over."""
    await needs_sessions(request, session_id)
    session = await _session(request, session_id)
    if wait_for is not None and not _is_there(session, wait_for):
        session = await _waited(request, session_id, wait_for, timeout)
    return JSONResponse(session)


@router.get(
    "/sessions/{session_id}/explain",
    **describes(Scope.READ, resources.ExplanationResource, errors=(404, 409)),
)
async def explain_session(request: Request, session_id: SessionId) -> JSONResponse:
    """Explain the session's state, its next step, and every rule that may stop it."""
    await needs_sessions(request, session_id)
    process = process_of(request)

    def read(tx: Transaction) -> Mapping[str, Any]:
        session = _found(tx, session_id)
        return explain(tx, session, process.services.config.policy_for(session.provider), tx.now())

    return JSONResponse(await process.read(read))


@router.get(
    "/sessions/{session_id}/endpoint",
    **describes(Scope.READ, resources.RevealedEndpointResource, errors=(404, 409)),
)
async def get_endpoint(
    request: Request,
    session_id: SessionId,
    reveal: Annotated[bool, Query(description="Include the secret: needs the scope `reveal`.")] = False,  # noqa: FBT002
) -> JSONResponse:
    """Return where a running session is reached. Any other session has no endpoint: 409."""
    if reveal:
        caller_of(request).needs(Scope.REVEAL)
    await needs_sessions(request, session_id)
    process = process_of(request)
    endpoint = await process.read(lambda tx: endpoint_of(tx, _found(tx, session_id)))
    if not reveal:
        return JSONResponse(endpoint)
    return JSONResponse(endpoint | {"secret": _secret(request, endpoint["secret_ref"])})


@router.get(
    "/sessions/{session_id}/events",
    **describes(Scope.READ, resources.EventPageResource, errors=(404,)),
)
async def list_events_of_session(
    request: Request,
    session_id: SessionId,
    limit: Limit = 50,
    after: Annotated[int, Query(ge=0, lt=2**62, description="The `next` of the previous page.")] = 0,
) -> JSONResponse:
    """List the session's events in their order, as far as they are kept."""
    await needs_sessions(request, session_id)

    def read(tx: Transaction) -> Mapping[str, Any]:
        reads.known_session(tx, session_id)
        found = tx.outbox.tail(subject=session_id, after=after, limit=limit)
        # One session's events are written under one lock: none appears later before these.
        last = found[-1].seq if found else after
        return {"items": [cloud_event(event) for event in found], "next": str(last)}

    return JSONResponse(await process_of(request).read(read))


def bound_to(wanted: SessionFilter, account_id: str | None) -> SessionFilter:
    """Return the filter within the caller's account. Raises Problem if it names another."""
    if account_id is None:
        return wanted
    if wanted.account_id not in (None, account_id):
        raise unknown_account(str(wanted.account_id))
    return replace(wanted, account_id=account_id)


async def _session(request: Request, session_id: str) -> dict[str, Any]:
    return await process_of(request).read(lambda tx: reads.known_session(tx, session_id))


async def _waited(request: Request, session_id: str, state: State, seconds: float) -> dict[str, Any]:
    """Return the session once it is there, or the time is over. Events say when to look again, so that a thousand
    requests that wait cost no more than one."""
    process, give_up_at = process_of(request), time.monotonic() + seconds
    token_id = caller_of(request).token.id
    async with process.feed.listening(token_id):
        seen, look_at = process.feed.here(), 0.0
        while True:
            if process.feed.tokens.has_ended(token_id):
                raise unauthenticated("the token was revoked, or has expired, while the request waited")
            now = time.monotonic()
            if now >= look_at or _is_touched(process.feed, seen, session_id):
                seen, look_at = process.feed.here(), now + LOOK_EVERY
                session = await _session(request, session_id)
                if _is_there(session, state):
                    return session
            if now >= give_up_at or process.leaving.is_set():
                return session
            await process.feed.wait(min(LOOK_EVERY, give_up_at - now))


def _is_touched(feed: Feed, seen: int, session_id: str) -> bool:
    """Return whether events of the session came since, or may have come."""
    try:
        return any(one.subject == session_id for one in feed.since(seen))
    except TooSlow:
        return True


def _is_there(session: Mapping[str, Any], state: State) -> bool:
    return session["state"] == state.value or session["state"] in _ENDED


def _found(tx: Transaction, session_id: str) -> Session:
    """Return the session. Raises Refusal if it is unknown or archived."""
    session = tx.sessions.get(session_id)
    left = tx.archive.get(session_id) if session is None else None
    if left is not None:
        raise archived.refusal(left)
    if session is None:
        raise lookup.unknown(session_id)
    return session


def _secret(request: Request, reference: str | None) -> str | None:
    """Return the secret behind the reference. Raises Problem if this machine lacks it."""
    if reference is None:
        return None
    secrets = process_of(request).services.secrets
    why = secrets.why_missing(reference)
    if why:
        message = f"the API process cannot read the secret {reference}: {why}"
        raise Problem(ApiCode.SECRET_MISSING, message, details={"secret_ref": reference})
    return secrets.get(reference)
