"""Requests in the form of httpx. Calls that are alike, as pings are, share one request, and calls to one address share
all but key, body and headers of their own."""

from collections.abc import Hashable
from dataclasses import dataclass, replace

import httpx

from orchestrator.providers.http.calls import Call, ClientOptions
from orchestrator.providers.port.secrets import auth_headers

#: Requests that one client keeps, about 3 KB each, and as many addresses.
MOST_KEPT = 1_000
#: Once all places are taken, others are made each time; after so many of them the kept ones make room.
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
    """Makes the requests of one client, and keeps those that repeat."""

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
