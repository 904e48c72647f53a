"""aiohttp as a transport of httpx, and the requests that it sends: httpx's own transport loses pool slots when a
request is cancelled.

No redirects, no proxies from the environment, no cookies."""

import ssl
from collections.abc import Hashable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import aiohttp
import httpx
from aiohttp.abc import AbstractResolver
from httpx_aiohttp import AiohttpTransport
from httpx_aiohttp.transport import AiohttpResponseStream, map_aiohttp_exceptions

from orchestrator.providers.http.calls import Call, ClientOptions
from orchestrator.providers.http.reach import CheckedResolver
from orchestrator.providers.port.secrets import auth_headers

#: Requests that one client keeps, about 3 KB each, and as many addresses.
MOST_KEPT = 1_000
#: Once all places are taken, others are made each time; after this many of them the kept ones make room.
_MADE_BEFORE_ROOM = 100_000

_HEADERS = {
    "accept": "*/*",
    "accept-encoding": "identity",
    "connection": "keep-alive",
    "user-agent": "session-orchestrator",
}
_JSON = {"content-type": "application/json"}


@dataclass(frozen=True, slots=True)
class _Address:
    """What requests to one URL share."""

    url: httpx.URL
    headers: dict[bytes, bytes]
    """Without those of the key, and the length of the body."""


class Requests:
    """Makes the requests of one client in the form of httpx. Calls that are alike, as pings are, share one request, and
    calls to one address share all but key, body and headers of their own."""

    def __init__(self, options: ClientOptions) -> None:
        timeout = httpx.Timeout(None, connect=options.connect_timeout, pool=options.pool_timeout)
        self._extensions = {"timeout": timeout.as_dict()}
        self._kept: dict[Hashable, httpx.Request] = {}
        self._not_kept = 0
        self._addresses: dict[tuple[str, str], _Address] = {}

    def request_of(self, call: Call) -> httpx.Request:
        """Return the request of a call. Raises ValueError and httpx.InvalidURL."""
        if not call.repeats or call.content is None or call.params or call.form or call.files:
            return self._made(call)
        alike = (call.method, call.url, call.auth, call.secret, call.content, *call.headers.items())
        found = self._kept.get(alike)
        if found is None:
            found = self._addressed(call, call.content)
            self._keep(alike, found)
        return found

    def _keep(self, alike: Hashable, request: httpx.Request) -> None:
        """Keep a request if there is room. To replace another each time would cost more than to make it: Python looks
        through all that lives long when there is much more of it."""
        if len(self._kept) < MOST_KEPT:
            self._kept[alike] = request
            return
        self._not_kept += 1
        if self._not_kept >= _MADE_BEFORE_ROOM:
            self._kept.clear()
            self._not_kept = 0

    def _addressed(self, call: Call, content: bytes) -> httpx.Request:
        """Make a request from what its address has in common, in a tenth of the time that httpx takes to make all of
        it: where each session has a key, no two pings are alike."""
        shared = self._address_of(call)
        own = {**call.headers, **auth_headers(call.auth, call.secret), "content-length": str(len(content))}
        headers = shared.headers | {name.lower().encode("ascii"): own[name].encode("ascii") for name in own}
        return httpx.Request(
            call.method,
            shared.url,
            headers=[*headers.items()],
            stream=httpx.ByteStream(content),
            extensions=dict(self._extensions),
        )

    def _address_of(self, call: Call) -> _Address:
        found = self._addresses.get((call.method, call.url))
        if found is None:
            if len(self._addresses) >= MOST_KEPT:
                self._addresses.clear()
            plain = self._made(replace(call, secret=None, headers={}))
            headers = {name.lower(): value for name, value in plain.headers.raw}
            headers.pop(b"content-length", None)
            found = self._addresses[(call.method, call.url)] = _Address(plain.url, headers)
        return found

    def _made(self, call: Call) -> httpx.Request:
        content_type = {} if call.content is None else _JSON
        own = {name.lower(): value for name, value in call.headers.items()}
        return httpx.Request(
            call.method,
            call.url,
            params=call.params,
            content=call.content,
            json=call.json,
            data=call.form,
            files=call.files,
            headers={**_HEADERS, **content_type, **own, **auth_headers(call.auth, call.secret)},
            extensions=dict(self._extensions),
        )


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
        """Send a request with a body that has been read. Its form for aiohttp is made once, and kept with it."""
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
