"""The one HTTP client, and the only module that uses the transport.

httpx is the interface, and aiohttp the transport. httpx's own client is left out: what it adds to a transport is
redirects, proxies, cookies and authentication, which nothing here may use, for as much time as the exchange itself
takes. Bodies are bounded, and each call has one deadline.

A call that changes something is sent at most once, whatever its method: `fresh` calls are never repeated. aiohttp
repeats the others once if a connection breaks, except a POST."""

import asyncio
import logging
import zlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from urllib.parse import urlsplit

import aiohttp
import httpx

from orchestrator.providers.http.calls import Call, ClientOptions
from orchestrator.providers.http.clock import monotonic
from orchestrator.providers.http.own_evidence import OwnFaults
from orchestrator.providers.http.reach import AddressRefused, check_url, refusal_in
from orchestrator.providers.http.resolver import WatchedResolver
from orchestrator.providers.http.transport import BEFORE_SENDING, Network, Requests, trust
from orchestrator.providers.port.answers import Response
from orchestrator.providers.port.errors import NotSent
from orchestrator.providers.port.secrets import Redactor, brief
from orchestrator.rules.upstream.addresses import Reach
from orchestrator.rules.upstream.local_faults import LocalFault

__all__ = ["Call", "ClientOptions", "HttpClient", "NoAnswer", "Unanswered"]

for _name in ("httpx", "httpcore", "aiohttp"):  # these log URLs, which may hold passwords
    logging.getLogger(_name).setLevel(logging.WARNING)

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
#: Window sizes that zlib reads: 16 + the largest for gzip; for deflate, with its header (RFC 1950) and, as some
#: servers send it, without (RFC 1951).
_GZIP = (16 + zlib.MAX_WBITS,)
_DEFLATE = (zlib.MAX_WBITS, -zlib.MAX_WBITS)
_WINDOWS: Mapping[str, tuple[int, ...]] = {"gzip": _GZIP, "x-gzip": _GZIP, "deflate": _DEFLATE}


class NoAnswer(Exception):
    """The request may have arrived, and no complete answer came back."""

    failed_here: LocalFault | None = None
    """The fault of this machine that kept the answer away."""


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
        redactor: Redactor | None = None,
        resolver: WatchedResolver | None = None,
        own: OwnFaults | None = None,
    ) -> None:
        """Prepare the connections. `transport`: replaces the network. `redactor`: what messages must not show. `own`:
        shared knowledge of this machine's faults."""
        self.options = options or ClientOptions()
        self.now = clock
        """What this machine's clock says: when an answer came, and whether a declared end has passed."""
        context = trust(self.options.ca_file) if transport is None else None
        self._own = own or OwnFaults(self.options.max_connections, context, resolver)
        pooled = fresh = transport
        if context is not None:
            pooled = Network(self.options, context, self._own.resolver, keep=True)
            fresh = Network(self.options, context, self._own.resolver, keep=False)
        assert pooled is not None
        assert fresh is not None
        self._pooled, self._fresh = pooled, fresh
        self._requests = Requests(self.options)
        self._transport = transport
        self._redactor = redactor or Redactor()
        self._checked: dict[Reach, HttpClient] = {}

    def checked(self, reach: Reach) -> "HttpClient":
        """Return the client for URLs from outside: it connects only where `reach` allows. Closing this client closes
        that one too."""
        if reach not in self._checked:
            options = replace(self.options, reach=reach)
            self._checked[reach] = HttpClient(
                options, transport=self._transport, clock=self.now, redactor=self._redactor, own=self._own
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
            failure = _outcome(error, self._redactor.forms(call.secret))
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
        transport = self._fresh if call.fresh else self._pooled
        request = self._requests.request_of(call)
        await request.aread()  # whole bodies only: a streamed one could not be counted or repeated
        response = await transport.handle_async_request(request)
        headers = _headers_of(response)
        try:
            bound = call.most_bytes or self.options.max_body_bytes
            body, oversized = await _body(response, headers, bound, call.enough)
        finally:
            await response.aclose()
        return Response(
            status=response.status_code,
            headers=headers,
            body=body,
            oversized=oversized,
            elapsed_ms=round((monotonic() - begun) * 1000),
            received_at=self.now(),
            hide=partial(self._redactor.forms, call.secret),
        )


def _headers_of(response: httpx.Response) -> dict[str, str]:
    """Return the headers by their names in lower case; the values of a repeated one are joined."""
    found: dict[str, str] = {}
    for raw, value in response.headers.raw:
        name, text = raw.decode("latin-1").lower(), _text_of(value)
        found[name] = f"{found[name]}, {text}" if name in found else text
    return found


def _text_of(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


async def _body(
    response: httpx.Response,
    headers: Mapping[str, str],
    bound: int,
    enough: Callable[[bytes], bool] | None,
) -> tuple[bytes, bool]:
    """Return the body up to `bound` bytes, and whether it is longer. Raises NoAnswer for an unsupported encoding.

    httpx itself would decode every layer of every chunk, on the event loop and without a bound."""
    try:
        encoding = encoding_of(headers)
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
    text = brief(_in_words(cause), hidden)
    if isinstance(cause, (*BEFORE_SENDING, httpx.InvalidURL, httpx.UnsupportedProtocol)):
        return NotSent(f"could not connect: {text}")
    if isinstance(cause, ValueError) and not isinstance(cause, aiohttp.ClientError):
        return NotSent(f"the request could not be written: {type(cause).__name__}")
    if isinstance(cause, RuntimeError) and "can't start new thread" in str(cause):  # to ask the resolver in
        return NotSent(f"no thread to look up the host in: {text}")
    return NoAnswer(f"the connection broke: {text}")


def _in_words(cause: Exception) -> str:
    """Return what happened, in plain words where an operator meets it: a server that is down."""
    if isinstance(cause, aiohttp.ClientConnectorError) and isinstance(cause.os_error, ConnectionRefusedError):
        host = f"[{cause.host}]" if ":" in cause.host else cause.host
        return f"nothing listens at {host}:{cause.port}"
    return f"{type(cause).__name__}: {cause}"


class UnreadableBody(ValueError):
    """The body is compressed although only `identity` was asked for, and cannot be decoded."""


def encoding_of(headers: Mapping[str, str]) -> str | None:
    """Return the one encoding of a body that `decode` can read; None for none. Raises Unreadable for all others.

    Several layers are refused: each can multiply the size by a thousand."""
    layers = [layer.strip().lower() for layer in headers.get("content-encoding", "").split(",")]
    named = [layer for layer in layers if layer not in ("", "identity")]
    if not named:
        return None
    if len(named) > 1 or named[0] not in _WINDOWS:
        shown = ", ".join(named)[:80]
        raise UnreadableBody(f"the body is encoded as {shown!r}, which was not asked for")
    return named[0]


def decode(body: bytes, encoding: str, bound: int) -> tuple[bytes, bool]:
    """Return at most `bound` bytes of the decoded body, and whether there is more. Raises UnreadableBody.

    `bound` also limits time and memory, whatever size the body would unpack to."""
    for window in _WINDOWS[encoding]:
        decoder = zlib.decompressobj(window)
        try:
            decoded = decoder.decompress(body, bound + 1)
        except zlib.error:
            continue
        return decoded[:bound], len(decoded) > bound
    raise UnreadableBody(f"the body says that it is {encoding} and is not")
