"""Sign in with a token. The cookie holds it, so that any process answers and a revoked token ends at once."""

from urllib.parse import urlencode, urlsplit

from fastapi import Request
from fastapi.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from orchestrator.api.authentication import Failures
from orchestrator.flows.operations.tokens import authenticate
from orchestrator.rules.values import ApiToken

COOKIE = "orchestrator_console"
#: Seconds after which one signs in again.
LASTS = 12 * 3600
SIGN_IN, STATIC = "/sign-in", "/static/"


class SignedIn:
    """Hands on requests of people who have signed in, and leads others to the form."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] == SIGN_IN or scope["path"].startswith(STATIC):
            return await self._app(scope, receive, send)
        request = Request(scope)
        secret = request.cookies.get(COOKIE, "")
        token = await token_of(request, secret) if secret else None
        if token is None:
            response = _not_signed_in(request, wrong=bool(secret))
            return await response(scope, receive, send)
        request.state.token, request.state.secret = token, secret
        return await self._app(scope, receive, send)


async def token_of(request: Request, text: str) -> ApiToken | None:
    """Return the valid token with this text; None if there is none."""
    process = request.app.state.process
    found: ApiToken | None = await process.look(lambda: authenticate(process.services.database, text))
    return found


def too_many(request: Request) -> float | None:
    """Note a failure. Return the seconds to wait, where this address had too many."""
    failures: Failures = request.app.state.failures
    return failures.note(request.client.host if request.client else "")


def keep(response: Response, request: Request, text: str) -> None:
    """Keep the token in a cookie that scripts cannot read and other sites cannot send."""
    secure = request.url.scheme == "https"
    response.set_cookie(
        COOKIE, text, max_age=LASTS, httponly=True, samesite="strict", secure=secure, path="/"
    )


def forget(response: Response) -> None:
    """Remove the cookie."""
    response.delete_cookie(COOKIE, httponly=True, samesite="strict", path="/")


def local(path: str | None) -> str:
    """Return this path where it is one of ours; else the first page."""
    parts = urlsplit(path or "/")
    ours = not parts.scheme and not parts.netloc and parts.path.startswith("/")
    plain = path is not None and path.isascii() and path.isprintable() and not set(path) & set("\\ ")
    return path if path and ours and plain and not path.startswith("//") else "/"


def _not_signed_in(request: Request, *, wrong: bool) -> Response:
    """Lead to the form. A `wrong` token in the cookie is a failure as in the form; it is removed, so that someone whose
    token has ended fails once."""
    wait = too_many(request) if wrong else None
    if wait is not None:
        return PlainTextResponse(
            "too many wrong tokens came from this address", 429, {"retry-after": str(int(wait) + 1)}
        )
    response = _to_sign_in(request)
    if wrong:
        forget(response)
    return response


def _to_sign_in(request: Request) -> Response:
    if request.headers.get("hx-request"):
        return Response(status_code=401, headers={"HX-Redirect": SIGN_IN})
    if request.method != "GET":
        return RedirectResponse(SIGN_IN, 303)
    there = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return RedirectResponse(SIGN_IN if there == "/" else f"{SIGN_IN}?{urlencode({'next': there})}", 303)
