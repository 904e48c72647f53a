"""The one HTTP client, and the only module that uses the transport.

httpx is the interface, and aiohttp the transport: httpx's own transport loses pool slots when a request is cancelled.
No redirects, no proxies from the environment, no cookies, bounded bodies, one deadline per call.

A call that changes something is sent at most once, whatever its method: `fresh` calls are never repeated. aiohttp
repeats the others once if a connection breaks, except a POST."""

import asyncio
import logging
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from orchestrator.providers.http.clock import monotonic
from orchestrator.providers.http.encodings import UnreadableBody, decode, encoding_of
from orchestrator.providers.http.own_evidence import OwnFaults
from orchestrator.providers.http.reach import AddressRefused, CheckedResolver, check_url, refusal_in
from orchestrator.providers.http.resolver import WatchedResolver
from orchestrator.providers.port.answers import Response
from orchestrator.providers.port.driver import Auth, Secret
from orchestrator.providers.port.errors import NotSent
from orchestrator.providers.port.secrets import Hidden, auth_headers, brief
from orchestrator.rules.upstream.addresses import Reach
from orchestrator.rules.upstream.local_faults import LocalFault

for _name in ("httpx", "httpcore", "aiohttp"):  # they log URLs, and URLs may hold passwords
    logging.getLogger(_name).setLevel(logging.WARNING)

#: What aiohttp raises before the first byte of a request is written. Nothing else proves "not sent": the
#: transport maps a reset connection to httpx.ConnectTimeout, so its causes are read, never its own errors.
_BEFORE_SENDING = (
    aiohttp.ClientConnectorError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.InvalidURL,
    aiohttp.NonHttpUrlClientError,
)
#: How a call fails; a thread that cannot be started, or memory that is not there, fails it here.
_FAILURES = (
    httpx.HTTPError,
    httpx.InvalidURL,
    aiohttp.ClientError,
    OSError,  # TimeoutError too
    ValueError,
    RuntimeError,
    MemoryError,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class ClientOptions:
    """The options of a client. One process has one set."""

    max_connections: int = 512
    connect_timeout: float = 5
    """Seconds for DNS, TCP and TLS, each address."""
    pool_timeout: float = 10
    """Seconds to wait for a free connection and to connect it."""
    keepalive_seconds: float = 15
    dns_cache_seconds: int = 10
    max_body_bytes: int = 1024 * 1024
    ca_file: str | None = None
    """Trust these authorities instead of the usual ones."""
    reach: Reach | None = None
    """Where URLs of other people may lead; None: the URLs are the operator's own."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """One request, with the deadline for all of it."""

    method: str
    url: str
    timeout_seconds: float
    auth: Auth = Auth.NONE
    secret: Secret | None = None
    params: Mapping[str, str] | None = None
    json: Any = None
    form: Mapping[str, str] | None = None
    files: Mapping[str, tuple[str, bytes, str]] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    most_bytes: int | None = None
    """Of the answer's body, for a list; None: as the client's options say."""
    fresh: bool = False
    """For lifecycle calls: on a connection of its own, as a stale one must not make the outcome unknown; and never
    repeated by the transport, as the first one may have had its effect."""
    enough: Callable[[bytes], bool] | None = None
    """Called with each chunk of the body, once: True if the rest need not be read; the connection is then dropped."""


class NoAnswer(Exception):
    """The request may have arrived, and no complete answer came back."""

    failed_here: LocalFault | None = None
    """What failed on this machine meanwhile, so that the answer could not come."""


class Unanswered(NoAnswer):
    """The whole time of the call has passed. The request was accepted, for connecting may take only a part of that
    time."""


class HttpClient:
    """Long-lived, one per process and event loop; its builder calls `aclose`."""

    def __init__(
        self,
        options: ClientOptions | None = None,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        hidden: Hidden | None = None,
        resolver: WatchedResolver | None = None,
        own: OwnFaults | None = None,
    ) -> None:
        """Prepare the connections. `transport`: replaces the network. `hidden`: what messages must not show. `own`:
        shared knowledge of this machine's faults."""
        self.options = options or ClientOptions()
        self.now = clock
        """What this machine's clock says: when an answer came, and whether a declared end has passed."""
        context = _trust(self.options.ca_file) if transport is None else None
        self._own = own or OwnFaults(self.options.max_connections, context, resolver)
        pooled = fresh = transport
        if context is not None:
            pooled = _network(self.options, context, self._own, keep=True)
            fresh = _network(self.options, context, self._own, keep=False)
        assert pooled is not None
        assert fresh is not None
        self._pooled = _client(self.options, pooled)
        self._fresh = _client(self.options, fresh)
        self._transport = transport
        self._hidden = hidden or Hidden()
        self._checked: dict[Reach, HttpClient] = {}

    def checked(self, reach: Reach) -> "HttpClient":
        """Return the client for URLs from outside: it connects only where `reach` allows. Closing this client closes
        that one too."""
        if reach not in self._checked:
            options = replace(self.options, reach=reach)
            self._checked[reach] = HttpClient(
                options, transport=self._transport, clock=self.now, hidden=self._hidden, own=self._own
            )
        return self._checked[reach]

    async def ask(self, call: Call) -> Response:
        """Send once and return the answer, whatever its status. Raises NotSent or NoAnswer."""
        if call.timeout_seconds <= 0:
            raise NotSent("too late to send it")
        if self.options.reach is not None:
            check_url(self.options.reach, call.url)
        begun = monotonic()
        self._own.watch.begin()
        try:
            async with asyncio.timeout(call.timeout_seconds):
                return await self._exchange(call, begun)
        except _FAILURES as error:
            raise await self._failure(call, begun, error) from error
        finally:
            self._own.watch.end()

    async def _failure(self, call: Call, begun: float, error: Exception) -> NotSent | NoAnswer:
        """Return what is known of the request, and whether this machine is at fault."""
        if isinstance(error, TimeoutError):
            failure: NotSent | NoAnswer = Unanswered(f"no answer within {call.timeout_seconds:.3g} s")
        else:
            failure = _outcome(error, self._hidden.forms(call.secret))
        if not isinstance(failure, AddressRefused):
            failure.failed_here = await self._own.fault_of(
                _host_of(call.url),
                error,
                begun=begun,
                timeout_seconds=call.timeout_seconds,
                sent=isinstance(failure, NoAnswer),
            )
        return failure

    async def aclose(self) -> None:
        self._own.watch.stop()
        await self._pooled.aclose()
        await self._fresh.aclose()
        for client in self._checked.values():
            await client.aclose()

    async def _exchange(self, call: Call, begun: float) -> Response:
        client = self._fresh if call.fresh else self._pooled
        request = _request(client, call)
        await request.aread()  # whole bodies only: a streamed one could not be counted or repeated
        response = await client.send(request, stream=True)
        try:
            bound = call.most_bytes or self.options.max_body_bytes
            body, oversized = await _body(response, bound, call.enough)
        finally:
            await response.aclose()
        return Response(
            status=response.status_code,
            headers={name.lower(): value for name, value in response.headers.items()},
            body=body,
            oversized=oversized,
            elapsed_ms=round((monotonic() - begun) * 1000),
            received_at=self.now(),
            hidden=self._hidden.forms(call.secret),
        )


def _trust(ca_file: str | None) -> ssl.SSLContext:
    if ca_file is not None:
        return ssl.create_default_context(cafile=ca_file)
    return httpx.create_ssl_context(trust_env=False)


def _network(
    options: ClientOptions, context: ssl.SSLContext, own: OwnFaults, *, keep: bool
) -> httpx.AsyncBaseTransport:
    def session() -> aiohttp.ClientSession:  # called by the transport on the loop that first uses it
        kept = {"keepalive_timeout": options.keepalive_seconds} if keep else {"force_close": True}
        once = () if keep else (_once,)
        resolver = own.resolver if options.reach is None else CheckedResolver(options.reach, own.resolver)
        connector = aiohttp.TCPConnector(
            limit=options.max_connections,
            ssl=context,
            resolver=resolver,
            use_dns_cache=options.dns_cache_seconds > 0,
            ttl_dns_cache=options.dns_cache_seconds,
            **kept,
        )
        return aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.DummyCookieJar(), middlewares=once
        )

    return AiohttpTransport(verify=context, trust_env=False, client=session)


class _BrokenConnection(aiohttp.ClientError):
    """An error after which aiohttp does not send a request again."""


async def _once(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Send the request once. aiohttp would send an idempotent one again where its connection breaks."""
    try:
        return await handler(request)
    except _BEFORE_SENDING:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise _BrokenConnection(str(error)) from error


def _client(options: ClientOptions, transport: httpx.AsyncBaseTransport) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=transport,
        timeout=httpx.Timeout(None, connect=options.connect_timeout, pool=options.pool_timeout),
        headers={"user-agent": "session-orchestrator", "accept-encoding": "identity"},
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),  # one key's cookies are no other's
        follow_redirects=False,
        trust_env=False,
    )


def _request(client: httpx.AsyncClient, call: Call) -> httpx.Request:
    return client.build_request(
        call.method,
        call.url,
        params=call.params,
        json=call.json,
        data=call.form,
        files=call.files,
        headers={**call.headers, **auth_headers(call.auth, call.secret)},
    )


async def _body(
    response: httpx.Response, bound: int, enough: Callable[[bytes], bool] | None
) -> tuple[bytes, bool]:
    """Return the body up to `bound` bytes, and whether it is longer. Raises NoAnswer for an unsupported encoding.

    httpx itself would decode every layer of every chunk, on the event loop and without a bound."""
    try:
        encoding = encoding_of(response.headers)
        if encoding is None:
            return await _bounded(response, bound, enough)
        packed, cut = await _bounded(response, bound, None)
        body, longer = await asyncio.to_thread(decode, packed, encoding, bound)
    except UnreadableBody as error:
        raise NoAnswer(str(error)) from None
    return body, cut or longer


async def _bounded(
    response: httpx.Response, bound: int, enough: Callable[[bytes], bool] | None
) -> tuple[bytes, bool]:
    stream, body = response.stream, bytearray()
    assert isinstance(stream, httpx.AsyncByteStream)
    async for chunk in stream:
        body += chunk
        if len(body) > bound:
            return bytes(body[:bound]), True
        if enough is not None and enough(chunk):
            break  # closing the response drops the connection, and with it what is unread
    return bytes(body), False


def _host_of(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _outcome(error: Exception, hidden: tuple[str, ...]) -> NotSent | NoAnswer:
    refused = refusal_in(error)
    if refused is not None:
        return AddressRefused(str(refused))
    cause = error.__cause__ if isinstance(error.__cause__, aiohttp.ClientError) else error
    text = brief(f"{type(cause).__name__}: {cause}", hidden)
    if isinstance(cause, (*_BEFORE_SENDING, httpx.InvalidURL, httpx.UnsupportedProtocol)):
        return NotSent(f"could not connect: {text}")
    if isinstance(cause, ValueError) and not isinstance(cause, aiohttp.ClientError):
        return NotSent(f"the request could not be written: {type(cause).__name__}")
    if isinstance(cause, RuntimeError) and "can't start new thread" in str(cause):  # to ask the resolver in
        return NotSent(f"no thread to look up the host in: {text}")
    return NoAnswer(f"the connection broke: {text}")
