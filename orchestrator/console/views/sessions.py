"""The list of sessions, and one session with its life."""

import re
from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from fastapi.responses import RedirectResponse, Response

from orchestrator.api.callers import caller_of, process_of
from orchestrator.api.parameters import SessionId
from orchestrator.console import drawing
from orchestrator.console.access import READ
from orchestrator.console.backend import find, get
from orchestrator.console.pages import page
from orchestrator.flows.reports.cloud_events import cloud_event
from orchestrator.flows.reports.life import life_of
from orchestrator.rules.states import State
from orchestrator.store.transaction import Transaction

router = APIRouter()

#: Sessions of a page, and events that a session's page shows.
PER_PAGE, EVENTS = 50, 60
_FILTERS = ("state", "account", "provider", "model", "name", "search", "unproven", "since", "after")
_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")


@router.get("/sessions", dependencies=READ)
async def sessions(
    request: Request, search: Annotated[str | None, Query(alias="q", max_length=100)] = None
) -> Response:
    """List sessions, newest first; lead to the one with the id that is searched, or to the only one that begins so."""
    wanted = [(name, value) for name, value in request.query_params.multi_items() if name in _FILTERS]
    if search is not None:
        text = search.strip()
        session_id = await _only_one(request, text)
        if session_id is not None:
            return RedirectResponse(f"/sessions/{session_id}", 303)
        wanted = [one for one in wanted if one[0] != "search"] + ([("search", text)] if text else [])
    found = await get(request, "/sessions", [*wanted, ("limit", PER_PAGE)])
    following = None if found["next"] is None else _link([*wanted, ("after", found["next"])])
    return await page(
        request,
        "sessions.html",
        found=found["items"],
        following=following,
        states=[state.value for state in State],
        chosen=[value for name, value in wanted if name == "state"],
        search=search or "",
        filtered=bool(wanted),
        looks_on=found["next"] is not None and not found["items"],
    )


@router.get("/sessions/{session_id}", dependencies=READ)
async def session(request: Request, session_id: SessionId) -> Response:
    """Show one session: its life, what will stop it, what it costs, and what happened."""
    one = await get(request, f"/sessions/{session_id}")
    why = await find(request, f"/sessions/{session_id}/explain")
    known = await process_of(request).read(lambda tx: _known(tx, session_id))
    lanes = drawing.life(known["life"]) if known["life"] is not None else None
    return await page(request, "session.html", one=one, why=why, lanes=lanes, **known)


async def _only_one(request: Request, text: str) -> str | None:
    """Return the session with this id, or the only one with an id that begins so, unless names of others do."""
    if not _ID.fullmatch(text):
        return None
    mine = caller_of(request).account_id
    found = await process_of(request).read(lambda tx: tx.pages.ids_beginning(text, 2, mine))
    session_id = text if text in found or len(found) != 1 else found[0]
    if session_id != text:
        named = await get(request, "/sessions", {"search": text, "limit": 2})
        if any(one["id"] != session_id for one in named["items"]):
            return None
    return session_id if await find(request, f"/sessions/{session_id}") is not None else None


def _known(tx: Transaction, session_id: str) -> Mapping[str, Any]:
    """Return the life of a session that the API has shown to this person, and its newest events."""
    live = tx.sessions.get(session_id)
    events = tx.outbox.newest(subject=session_id, limit=EVENTS)
    return {
        "life": None if live is None else life_of(tx, live, tx.now()),
        "events": [cloud_event(event) for event in reversed(events)],
    }


def _link(query: list[tuple[str, str]]) -> str:
    last = dict(one for one in query if one[0] == "after")
    kept = [one for one in query if one[0] != "after"] + list(last.items())
    return "/sessions?" + urlencode(kept)
