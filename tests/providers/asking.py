"""One request through the client, to a server with a given handler."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from orchestrator.providers.http.client import Call, ClientOptions, HttpClient
from orchestrator.providers.port.answers import Response
from tests.providers.rawserver import Handler, serving


def call(url: str, method: str = "POST", **more: Any) -> Call:
    return Call(**{"method": method, "url": url, "timeout_seconds": 5, **more})


@asynccontextmanager
async def client(**options: Any) -> AsyncIterator[HttpClient]:
    http = HttpClient(ClientOptions(**options))
    try:
        yield http
    finally:
        await http.aclose()


def ask(handler: Handler, *, options: dict[str, Any] | None = None, **more: Any) -> Response:
    async def story() -> Response:
        async with serving(handler) as url, client(**(options or {})) as http:
            return await http.ask(call(url, **more))

    return asyncio.run(story())
