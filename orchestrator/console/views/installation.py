"""The installation: what is unproven, what waits, jobs, events, and the audit."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response

from orchestrator.api.callers import Caller, caller_of, process_of
from orchestrator.api.feed import owners_of
from orchestrator.api.parameters import Since
from orchestrator.api.problems import ApiCode, Problem
from orchestrator.console.access import ADMIN_ALL, READ, READ_ALL
from orchestrator.console.backend import change, get
from orchestrator.console.forms import form_of, given
from orchestrator.console.pages import page
from orchestrator.console.views.session_actions import ACTIONS, Name, SessionAction
from orchestrator.flows.reports.cloud_events import cloud_event
from orchestrator.rules.events import rfc3339
from orchestrator.store.queries.outbox import WaitingEvent
from orchestrator.store.transaction import Transaction

router = APIRouter()

#: Events and jobs on a page, and how many of the newest events are read for those that are wanted.
EVENTS, JOBS, LOOKED_AT = 500, 50, 5_000
_SUBJECT = "^[A-Za-z0-9._:/-]{1,64}$"


class OnLeftover(StrEnum):
    """What is done to something that lives at a provider without a session of ours."""

    RETRY = "retry"
    CONFIRM = "confirm"
    FORCE = "force"


def _action(name: OnLeftover) -> SessionAction:
    return ACTIONS[Name(name.value)]


@router.get("/unproven", dependencies=READ)
async def unproven(request: Request) -> Response:
    """Show what may still cost money."""
    closes = await get(request, "/unproven")
    sees_all = caller_of(request).account_id is None
    orphans = await get(request, "/orphans") if sees_all else {"items": []}
    mine = [one for one in closes["items"] if not one["orphan"]]
    return await page(request, "unproven.html", closes=mine, orphans=orphans["items"])


@router.get("/leftovers/{placement_id}/{name}", dependencies=ADMIN_ALL)
async def ask_first(request: Request, placement_id: str, name: OnLeftover) -> Response:
    """Show what is left, and ask."""
    found = await get(request, "/orphans")
    left = [one for one in found["items"] if one["placement_id"] == placement_id]
    if not left:
        raise Problem(ApiCode.NOT_FOUND, "nothing with this id is left at a provider")
    return await page(
        request,
        "ask.html",
        action=_action(name),
        hits=[],
        left=left,
        where=request.url.path,
        back="/unproven",
    )


@router.post("/leftovers/{placement_id}/{name}", dependencies=ADMIN_ALL)
async def act(request: Request, placement_id: str, name: OnLeftover) -> Response:
    """Do it."""
    action, form = _action(name), await form_of(request)
    await change(request, "POST", f"/sessions/{placement_id}/close", action.body(form), key=form.key)
    return RedirectResponse(f"/unproven?done={action.done}", 303)


@router.get("/queue", dependencies=READ)
async def queue(request: Request, after: Annotated[str | None, Query(max_length=1000)] = None) -> Response:
    """Show who waits for what, and since when."""
    found = await get(request, "/queue", given(after=after))
    return await page(request, "queue.html", found=found["items"], following=found["next"])


@router.get("/jobs", dependencies=READ)
async def jobs(
    request: Request,
    job_id: Annotated[str | None, Query(alias="id", max_length=255)] = None,
    before: Since = None,
) -> Response:
    """Show the newest jobs with their outcomes, and one by its id. A token of one account finds its own by their
    ids."""
    one = await get(request, f"/jobs/{job_id}") if job_id is not None else None
    sees_all = caller_of(request).account_id is None
    newest = await process_of(request).read(lambda tx: _newest_jobs(tx, before)) if sees_all else []
    following = newest[-1]["received_at"] if len(newest) == JOBS else None
    return await page(request, "jobs.html", one=one, newest=newest, job_id=job_id or "", following=following)


@router.get("/jobs.json", dependencies=READ_ALL)
async def download_jobs(request: Request, before: Since = None) -> Response:
    """Send what that page lists as JSON."""
    return _file("jobs.json", await process_of(request).read(lambda tx: _newest_jobs(tx, before)))


@router.get("/events", dependencies=READ)
async def events(
    request: Request,
    kind: Annotated[str | None, Query(alias="type", max_length=100)] = None,
    subject: Annotated[str | None, Query(pattern=_SUBJECT)] = None,
) -> Response:
    """Show the newest events, the newest first."""
    caller = caller_of(request)
    found = await process_of(request).read(lambda tx: _newest_events(tx, caller, kind, subject))
    return await page(
        request, "events.html", found=found, kind=kind or "", subject=subject or "", most=EVENTS, of=LOOKED_AT
    )


@router.get("/events.json", dependencies=READ)
async def download_events(request: Request) -> Response:
    """Send the newest events as JSON."""
    caller = caller_of(request)
    found = await process_of(request).read(lambda tx: _newest_events(tx, caller, None, None))
    return _file("events.json", found)


@router.get("/audit", dependencies=READ_ALL)
async def audit(request: Request) -> Response:
    """Show each check with its findings."""
    return await page(request, "audit.html", found=await get(request, "/audit"))


@router.get("/audit.json", dependencies=READ_ALL)
async def download_audit(request: Request) -> Response:
    """Send the findings as JSON."""
    return _file("audit.json", await get(request, "/audit"))


def _newest_jobs(tx: Transaction, before: datetime | None) -> list[Mapping[str, Any]]:
    return [
        {
            "id": one.task_id,
            "name": one.name,
            "received_at": rfc3339(one.received_at),
            "author": one.author,
            "outcome": one.outcome,
        }
        for one in tx.inbox.newest(JOBS, before)
    ]


def _newest_events(
    tx: Transaction, caller: Caller, kind: str | None, subject: str | None
) -> Sequence[Mapping[str, Any]]:
    """Return the newest of these events that this person may see, the newest first."""
    found: list[Mapping[str, Any]] = []
    for rows in _backwards(tx, subject):
        owners = owners_of(tx, rows)
        mine = [row for row in rows if caller.may_see(owners.get(row.seq))]
        found += [cloud_event(row) for row in mine if (kind or "") in row.type]
        if len(found) >= EVENTS:
            break
    return found[:EVENTS]


def _backwards(tx: Transaction, subject: str | None) -> Iterator[Sequence[WaitingEvent]]:
    """Yield the newest events, the newest first, some at a time: all of a subject, or the last `LOOKED_AT`."""
    if subject is not None:
        yield tx.outbox.newest(subject=subject, limit=EVENTS)[::-1]
        return
    last = tx.outbox.newest(limit=1)
    place = last[0].seq if last else 0
    for upper in range(place, max(0, place - LOOKED_AT), -EVENTS):
        rows = tx.outbox.tail(after=max(0, upper - EVENTS), limit=EVENTS)
        yield [row for row in reversed(rows) if row.seq <= upper]


def _file(name: str, content: Any) -> Response:
    return JSONResponse(content, headers={"Content-Disposition": f'attachment; filename="{name}"'})
