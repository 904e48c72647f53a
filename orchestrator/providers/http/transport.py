"""aiohttp as a transport of httpx: httpx's own loses pool slots when a request is cancelled.

No redirects, no proxies from the environment, no cookies."""

import ssl
from functools import cache
from typing import Any

import aiohttp
import httpx
from aiohttp.abc import AbstractResolver
from httpx_aiohttp import AiohttpTransport
from httpx_aiohttp.transport import AiohttpResponseStream, map_aiohttp_exceptions

from orchestrator.providers.http.calls import ClientOptions
from orchestrator.providers.http.reach import CheckedResolver

#: What aiohttp raises before the first byte of a request is written. Nothing else proves "not sent": the
#: transport maps a reset connection to httpx.ConnectTimeout, so its causes are read, never its own errors.
BEFORE_SENDING = (
    aiohttp.ClientConnectorError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.InvalidURL,
    aiohttp.NonHttpUrlClientError,
)
#: Where a request keeps what aiohttp is given for it.
_ARGUMENTS = "orchestrator.aiohttp"


class Network(AiohttpTransport):
    """One pool of connections. Its session is made on the loop that first uses it."""

    def __init__(
        self, options: ClientOptions, context: ssl.SSLContext, resolver: AbstractResolver, *, keep: bool
    ) -> None:
        """Prepare it. `keep`: keep connections, and let aiohttp repeat an idempotent request where one breaks."""

        def session() -> aiohttp.ClientSession:
            kept = {"keepalive_timeout": options.keepalive_seconds} if keep else {"force_close": True}
            checked = resolver if options.reach is None else CheckedResolver(options.reach, resolver)
            connector = aiohttp.TCPConnector(
                limit=options.max_connections,
                ssl=context,
                resolver=checked,
                use_dns_cache=options.dns_cache_seconds > 0,
                ttl_dns_cache=options.dns_cache_seconds,
                **kept,
            )
            return aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                middlewares=() if keep else (_once,),
                auto_decompress=False,
            )

        super().__init__(verify=context, trust_env=False, client=session)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request whose body has been read. Its form for aiohttp is made once, and kept with it."""
        if not isinstance(self.client, aiohttp.ClientSession):
            self.client = self.get_client()
        given = request.extensions.get(_ARGUMENTS)
        with map_aiohttp_exceptions():
            if given is None:
                given = request.extensions[_ARGUMENTS] = _arguments(request)
            answer = await self.client.request(**given)
        return httpx.Response(
            answer.status, headers=answer.raw_headers, stream=AiohttpResponseStream(answer), request=request
        )


@cache
def trust(ca_file: str | None) -> ssl.SSLContext:
    """Return the context of TLS: the usual authorities, or those of this file."""
    if ca_file is not None:
        return ssl.create_default_context(cafile=ca_file)
    return httpx.create_ssl_context(trust_env=False)


def _arguments(request: httpx.Request) -> dict[str, Any]:
    timeout = request.extensions["timeout"]
    return {
        "method": request.method,
        "url": str(request.url),
        "headers": {name.lower().decode(): value.decode() for name, value in request.headers.raw},
        "data": request.content or None,
        "allow_redirects": False,
        "timeout": aiohttp.ClientTimeout(sock_connect=timeout["connect"], connect=timeout["pool"]),
    }


class _BrokenConnection(aiohttp.ClientError):
    """An error after which aiohttp does not send a request again."""


async def _once(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Send the request once. aiohttp would send an idempotent one again where its connection breaks."""
    try:
        return await handler(request)
    except BEFORE_SENDING:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise _BrokenConnection(str(error)) from error
