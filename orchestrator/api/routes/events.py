"""Events: page by page, or as a stream of server-sent events that resumes without loss."""

import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from orchestrator.api.callers import Caller, caller_of, process_of
from orchestrator.api.documents import describes
from orchestrator.api.feed import BATCH, FeedEvent, TooSlow, events_behind
from orchestrator.api.parameters import Account, Limit
from orchestrator.api.positions import Position, position_of
from orchestrator.api.problems import ApiCode, Problem, fault, invalid
from orchestrator.api.process import ApiProcess
from orchestrator.client import resources
from orchestrator.rules.values import Scope
from orchestrator.store.transaction import Transaction

router = APIRouter(tags=["events"])

STREAM = "text/event-stream"
#: Seconds after which a stream without events says where it is, so that proxies keep it open.
QUIET = 15.0
#: Seconds for which a stream waits until this process has read as far as its client.
CATCHES_UP_WITHIN = 5.0
_EXAMPLE = 'id: 4711\nevent: orchestrator.session.running\ndata: {"specversion":"1.0", …}\n\n'
_ALSO = {STREAM: {"schema": {"type": "string"}, "example": _EXAMPLE}}
Place = Annotated[
    str | None, Query(max_length=2500, description="After this position: the `next` of an earlier page.")
]


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Which events a client wants and may see."""

    caller: Caller
    type: str | None
    subject: str | None
    account_id: str | None

    def __call__(self, event: FeedEvent) -> bool:
        fits = self.type is None or event.type == self.type or event.type.startswith(f"{self.type}.")
        mine = self.caller.account_id is None or event.account_id == self.caller.account_id
        its = self.account_id is None or event.account_id == self.account_id
        return fits and mine and its and self.subject in (None, event.subject)


@router.get("/events", **describes(Scope.READ, resources.EventPageResource, errors=(404, 410), also=_ALSO))
async def list_events(
    request: Request,
    type: Annotated[  # noqa: A002
        str | None,
        Query(
            max_length=100,
            description="Only of this type, or of types that begin with it, such as `orchestrator.session`.",
        ),
    ] = None,
    subject: Annotated[str | None, Query(max_length=64, description="Only of this subject.")] = None,
    account: Account = None,
    limit: Limit = 50,
    after: Place = None,
    last_event_id: Annotated[
        str | None, Header(max_length=2500, description="As `after`, set by clients that resume a stream.")
    ] = None,
) -> Response:
    """List events in their order from `after` on, or from the oldest that is kept. With `Accept: text/event-stream`,
    stream them as they happen, from `Last-Event-ID` or `after` on, or from now on."""
    caller, process = caller_of(request), process_of(request)
    if account is not None:
        caller.needs_account(account)
    wanted = _Wanted(caller, type, subject, account)
    position = _position(last_event_id or after)
    if position is not None:
        await process.read(lambda tx: _still_kept(tx, position))
    if STREAM in request.headers.get("accept", ""):
        headers = {"X-Accel-Buffering": "no", "Cache-Control": "no-store"}
        return StreamingResponse(
            _stream(process, wanted, position, caller.token.id), media_type=STREAM, headers=headers
        )
    return JSONResponse(await process.read(lambda tx: _page(tx, wanted, position or Position(0), limit)))


def _page(
    tx: Transaction, wanted: Callable[[FeedEvent], bool], position: Position, limit: int
) -> Mapping[str, Any]:
    """Return the next events, and the position behind what was read."""
    items: list[Any] = []
    for event in events_behind(tx, position, BATCH):
        if len(items) == limit:
            break
        position = event.position
        if wanted(event):
            items.append(json.loads(event.data))
    return {"items": items, "next": str(position)}


async def _stream(
    process: ApiProcess,
    wanted: Callable[[FeedEvent], bool],
    position: Position | None,
    token_id: str | None = None,
) -> AsyncGenerator[str, None]:
    """Yield what the client has not read, then what comes, until the token ends."""
    async with process.feed.listening(token_id):
        if position is not None:
            await _until_there(process, position)
        count, joined = process.feed.here(), process.feed.position
        assert joined is not None
        begins = position or joined  # with its id, a client resumes there though no event has come
        yield f": events from {begins}\nid: {begins}\n\n"
        if position is not None:
            async for event in _missed(process, position, joined):
                if wanted(event):
                    yield event.message
        async for message in _live(process, count, wanted, token_id):
            yield message


async def _until_there(process: ApiProcess, position: Position) -> None:
    """Wait until the feed has read as far as a client that another process has served."""
    give_up_at = time.monotonic() + CATCHES_UP_WITHIN
    while time.monotonic() < give_up_at and not process.leaving.is_set():
        if process.feed.position is None or process.feed.position.after >= position.after:
            return
        await process.feed.wait(CATCHES_UP_WITHIN / 10)


async def _missed(process: ApiProcess, position: Position, joined: Position) -> AsyncIterator[FeedEvent]:
    """Yield events that the feed had read before the client joined, and the client has not."""
    while position.after < joined.after or position.gaps:
        now, found = await process.read(partial(_behind, position=position))
        for event in found:
            if joined.has(event.place):  # the feed brings the others
                yield replace(event, position=event.position.also_missing(joined.gaps, now))
        if len(found) < BATCH or found[-1].place >= joined.after:
            return
        position = found[-1].position


def _behind(tx: Transaction, position: Position) -> tuple[datetime, list[FeedEvent]]:
    return tx.now(), events_behind(tx, position, BATCH)


async def _live(
    process: ApiProcess, count: int, wanted: Callable[[FeedEvent], bool], token_id: str | None
) -> AsyncIterator[str]:
    """Yield events as the feed reads them. While none comes, say where the stream is."""
    feed = process.feed
    while not process.leaving.is_set() and not feed.tokens.has_ended(token_id):
        try:
            fresh = feed.since(count)
        except TooSlow:
            return  # it resumes with its last id
        count += len(fresh)
        for event in fresh:
            if wanted(event):
                yield event.message
        if not fresh:
            await feed.wait(QUIET)
            if feed.here() == count:
                yield f"id: {feed.position}\n\n"


def _position(text: str | None) -> Position | None:
    if text is None:
        return None
    position = position_of(text)
    if position is None:
        raise invalid(
            fault("after", "must be the `next` of an earlier page, or the id of an event", "position")
        )
    return position


def _still_kept(tx: Transaction, position: Position) -> None:
    """Raise Problem where events behind this position are no longer kept: the client would miss them silently."""
    first = tx.outbox.first_place()
    if first is not None and position.after + 1 < first and position.after > 0:
        message = (
            f"events after {position} are no longer kept: begin without a position, and read the state again"
        )
        raise Problem(ApiCode.EVENTS_GONE, message, details={"first": str(first - 1)})
