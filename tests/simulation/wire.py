"""The way to the simulated platforms without a socket: it calls the simulator's own dispatcher."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import assert_never

import httpx

from orchestrator.simulator.delivery import Settle
from orchestrator.simulator.dispatch import Body, Dispatcher, Incoming, parse
from orchestrator.simulator.wire import Delivery, Reply

#: Address of the simulated platforms.
ORIGIN = "http://platforms.example"
#: Called before a request leaves and after its answer came: it may wait, or end the process.
Hook = Callable[[str, str], Awaitable[None]]
#: Where webhooks lead to.
RECEIVER = "https://receiver.example/hook"
#: What the receiver of webhooks answers to a body.
Receives = Callable[[bytes], int]
#: Called with the number of each call, as the platforms count, when it begins.
Begins = Callable[[int], None]


class Wire(httpx.AsyncBaseTransport):
    """httpx's transport for one simulated process."""

    def __init__(self, dispatcher: Dispatcher, hook: Hook, begins: Begins, receives: Receives) -> None:
        self._dispatcher = dispatcher
        self._hook = hook
        self._begins = begins
        self._receives = receives

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url == RECEIVER:
            return await self._received(request)
        upstream, _, path = request.url.path.lstrip("/").partition("/")
        what = f"{request.method} {upstream}"
        await self._hook("before", what)
        content = request.content

        async def read() -> Body:
            return Body(json=parse(content))

        incoming = Incoming(
            upstream=upstream,
            method=request.method,
            path=f"/{path}",
            headers=request.headers,
            query=request.url.params,
            read=read,
        )
        self._begins(self._dispatcher.newest_call + 1)  # no other call comes in between before it has begun
        response = await self._dispatcher.play(incoming, _hand_over)
        assert response is not None, f"no such upstream: {upstream}"
        await self._hook("after", what)
        return response

    async def _received(self, request: httpx.Request) -> httpx.Response:
        await self._hook("before", "POST webhook")
        status = self._receives(request.content)
        await self._hook("after", "POST webhook")
        return httpx.Response(status)


async def _hand_over(reply: Reply, settle: Settle) -> httpx.Response:
    if reply.delay:
        await asyncio.sleep(reply.delay)
    headers = {"content-type": reply.content_type, **reply.headers}
    match reply.delivery:
        case Delivery.WHOLE:
            settle(status=reply.status, answered=reply.answered)
            return httpx.Response(reply.status, headers=headers, content=reply.body())
        case Delivery.HALF:
            settle(status=reply.status, answered=False)
            return httpx.Response(reply.status, headers=headers, stream=_Half(reply.body()))
        case Delivery.CUT:
            settle(status=None, answered=False)
            raise httpx.ReadError("the connection was reset")
        case Delivery.NEVER:
            await asyncio.get_running_loop().create_future()
            raise AssertionError("only a caller that leaves ends this wait")
        case unknown:
            assert_never(unknown)


class _Half(httpx.AsyncByteStream):
    def __init__(self, body: bytes) -> None:
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._body[: len(self._body) // 2]
        raise httpx.ReadError("the connection was reset")
