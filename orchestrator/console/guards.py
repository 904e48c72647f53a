"""What every request passes: headers, and the check that a change was asked for on our own pages."""

import hashlib
import hmac
from collections.abc import Iterable
from urllib.parse import parse_qsl, urlencode, urlsplit

from fastapi import Request
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orchestrator.api.problems import ApiCode, Problem

#: No script, style, image or connection from elsewhere; none written into a page; no frame around it.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",  # without any, browsers send forms with the origin "null"
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}
#: Bytes of a form, and of one with a file that a model is to see or hear.
MOST_BYTES, MOST_WITH_FILE = 64 * 1024, 27 * 1024 * 1024
_READS = frozenset({"GET", "HEAD", "OPTIONS"})


class Guarded:
    """Adds the headers, leaves out empty query parameters as forms send them, and refuses changes from other sites."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        scope["query_string"] = _without_empty(scope["query_string"])

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": _with_ours(message["headers"])}
            await send(message)

        if _is_too_large(scope):
            refused = PlainTextResponse("the form is too large, or does not say its length", 413)
            return await refused(scope, receive, sending)
        return await self._app(scope, receive, sending)


def needs_own_site(request: Request) -> None:
    """Raise Problem for a change that another site asked the browser for."""
    if request.method in _READS:
        return
    if not is_from_here(request.headers):
        raise Problem(ApiCode.FORBIDDEN, "this request came from another site: nothing was changed")


def is_from_here(headers: Headers) -> bool:
    """Return whether the browser says that a page of ours sent this; other programs say nothing."""
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None and site != "same-origin":
        return False
    return origin is None or urlsplit(origin).netloc == headers.get("host")


def form_token(secret: str) -> str:
    """Return what each form of this person holds: other sites can neither read nor guess it."""
    return hmac.new(secret.encode(), b"console form", hashlib.sha256).hexdigest()


def _is_too_large(scope: Scope) -> bool:
    """Return whether a form has more bytes than it may, or does not say how many."""
    if scope["method"] in _READS:
        return False
    most = MOST_WITH_FILE if scope["path"].endswith("/try") else MOST_BYTES
    length = Headers(scope=scope).get("content-length", "")
    return not length.isdigit() or int(length) > most


def _with_ours(given: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    headers = list(given)
    names = {name.lower() for name, _ in headers}
    ours = ((name.encode(), value.encode()) for name, value in HEADERS.items())
    return headers + [one for one in ours if one[0] not in names]


def _without_empty(query: bytes) -> bytes:
    return urlencode(parse_qsl(query.decode("latin-1"))).encode()
