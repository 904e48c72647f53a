"""How an answer reaches the caller, or does not."""

import asyncio
from contextlib import suppress
from typing import Protocol, assert_never

from aiohttp import web

from orchestrator.simulator.wire import Delivery, Reply


class Settle(Protocol):
    """Records how a call ended; only the first call of it counts."""

    def __call__(self, *, status: int | None, answered: bool) -> None: ...


async def deliver(request: web.Request, reply: Reply, settle: Settle) -> web.StreamResponse:
    if reply.delay:
        await asyncio.sleep(reply.delay)
    match reply.delivery:
        case Delivery.WHOLE:
            return await _whole(request, reply, settle)
        case Delivery.HALF:
            return await _half(request, reply, settle)
        case Delivery.CUT:
            settle(status=None, answered=False)
            return _drop(request)
        case Delivery.NEVER:
            return await _wait_for_ever()
        case unknown:
            assert_never(unknown)


async def _whole(request: web.Request, reply: Reply, settle: Settle) -> web.StreamResponse:
    if reply.chunks is not None:
        return await _stream(request, reply, settle)
    settle(status=reply.status, answered=reply.answered)
    return web.Response(
        body=reply.body(), status=reply.status, headers=reply.headers, content_type=reply.content_type
    )


async def _stream(request: web.Request, reply: Reply, settle: Settle) -> web.StreamResponse:
    response = _head(reply)
    with suppress(ConnectionResetError):  # a caller who has read enough leaves
        await response.prepare(request)
        held: bytes | None = None
        for chunk in reply.chunks or ():
            if held is not None:
                await response.write(held)
            held = chunk
        settle(status=reply.status, answered=reply.answered)
        await response.write(held or b"")
        await response.write_eof()
    settle(status=reply.status, answered=False)
    return response


async def _half(request: web.Request, reply: Reply, settle: Settle) -> web.StreamResponse:
    body = reply.body()
    if not body:  # there is no half of nothing: the answer stays away
        settle(status=None, answered=False)
        return _drop(request)
    response = _head(reply)
    response.content_length = len(body)
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    settle(status=reply.status, answered=False)
    return _drop(request, response)


def _head(reply: Reply) -> web.StreamResponse:
    response = web.StreamResponse(status=reply.status, headers=reply.headers)
    response.content_type = reply.content_type
    return response


def _drop(request: web.Request, response: web.StreamResponse | None = None) -> web.StreamResponse:
    """End the connection without sending another byte."""
    if request.transport is not None:
        request.transport.abort()
    return response or web.Response()


async def _wait_for_ever() -> web.StreamResponse:
    await asyncio.get_running_loop().create_future()
    raise AssertionError("only a caller who leaves ends this wait")
