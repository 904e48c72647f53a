"""A stream by which open pages load their numbers again when something has changed. One reader of the database serves
all pages of this process."""

import asyncio
from collections.abc import AsyncIterator

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse

from orchestrator.api.callers import Caller, caller_of, process_of
from orchestrator.api.feed import TooSlow
from orchestrator.api.process import ApiProcess
from orchestrator.console.access import READ

router = APIRouter()

#: Seconds between two messages: at least, and at most.
AT_MOST_EVERY, AT_LEAST_EVERY = 1.0, 15.0


@router.get("/live", dependencies=READ)
async def live(request: Request) -> StreamingResponse:
    """Stream a message after each change that this person may see."""
    headers = {"X-Accel-Buffering": "no"}
    changes = _changes(process_of(request), caller_of(request))
    return StreamingResponse(changes, media_type="text/event-stream", headers=headers)


async def _changes(process: ApiProcess, caller: Caller) -> AsyncIterator[str]:
    async with process.feed.listening(caller.token.id):
        count = process.feed.here()
        yield ": joined\n\n"
        while not process.leaving.is_set() and not process.feed.tokens.has_ended(caller.token.id):
            await process.feed.wait(AT_LEAST_EVERY)
            seen, count = count, process.feed.here()
            yield "event: changed\ndata: 1\n\n" if _concerns(process, caller, seen) else ": quiet\n\n"
            await asyncio.sleep(AT_MOST_EVERY)


def _concerns(process: ApiProcess, caller: Caller, count: int) -> bool:
    try:
        fresh = process.feed.since(count)
    except TooSlow:
        return True
    return any(caller.account_id in (None, one.account_id) for one in fresh)
