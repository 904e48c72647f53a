"""Requests in the form of httpx. Calls that are alike, as pings are, share one request."""

from collections.abc import Hashable

import httpx

from orchestrator.providers.http.calls import Call, ClientOptions
from orchestrator.providers.port.secrets import auth_headers

#: Requests that one client keeps, about 3 KB each.
MOST_KEPT = 5_000

_HEADERS = {
    "accept": "*/*",
    "accept-encoding": "identity",
    "connection": "keep-alive",
    "user-agent": "session-orchestrator",
}
_JSON = {"content-type": "application/json"}


class Requests:
    """Makes the requests of one client, and keeps those that repeat."""

    def __init__(self, options: ClientOptions) -> None:
        timeout = httpx.Timeout(None, connect=options.connect_timeout, pool=options.pool_timeout)
        self._extensions = {"timeout": timeout.as_dict()}
        self._kept: dict[Hashable, httpx.Request] = {}

    def request_of(self, call: Call) -> httpx.Request:
        """Return the request of a call. Raises ValueError and httpx.InvalidURL."""
        if not call.repeats or call.content is None or call.params or call.form or call.files:
            return self._made(call)
        alike = (call.method, call.url, call.auth, call.secret, call.content, *call.headers.items())
        found = self._kept.get(alike)
        if found is None:
            if len(self._kept) >= MOST_KEPT:
                self._kept.clear()
            found = self._kept[alike] = self._made(call)
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
