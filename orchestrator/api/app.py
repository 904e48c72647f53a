"""The application: routes, middleware, and how each error is answered."""

import asyncio
import logging
from collections.abc import Iterable
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orchestrator.api.authentication import Authentication, Failures, RecentTokens
from orchestrator.api.documents import document_of
from orchestrator.api.problems import ApiCode, Problem, answer, fault, invalid, unavailable, unexpected
from orchestrator.api.process import ApiProcess
from orchestrator.api.routes import (
    accounts,
    costs,
    events,
    health,
    installation,
    ledgers,
    many,
    models,
    policy,
    providers,
    session_changes,
    session_reads,
    webhooks,
)
from orchestrator.flows.engine.failures import log_failure
from orchestrator.rules.refusals import Refusal
from orchestrator.store.core.error_classes import ErrorClass, error_class
from orchestrator.store.database import StoreError, StoreOutage
from orchestrator.validation.locs import path_of
from orchestrator.validation.wording import in_words

log = logging.getLogger(__name__)

_NOUNS = (
    session_reads,
    session_changes,
    many,
    accounts,
    ledgers,
    costs,
    models,
    providers,
    policy,
    installation,
    webhooks,
    events,
)
_HEADERS = ((b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store"))
#: Faults that one answer lists.
_MOST_FAULTS = 50
#: What any path of the API can be asked for.
_METHODS = ("GET", "POST", "PUT", "DELETE")
_CODES = {404: ApiCode.NOT_FOUND, 405: ApiCode.METHOD_NOT_ALLOWED}


def create_app(
    process: ApiProcess, failures: Failures | None = None, recent: RecentTokens | None = None
) -> FastAPI:
    """Return the application of this process. `failures`, `recent`: what it remembers of tokens."""
    app = answering(process)
    document = document_of(app)

    @app.get("/openapi.json", include_in_schema=False)
    async def openapi() -> JSONResponse:
        return JSONResponse(document)

    app.add_middleware(Authentication, failures=failures, recent=recent)
    app.add_middleware(LastResort)
    app.add_middleware(Heads)
    return app


def answering(process: ApiProcess) -> FastAPI:
    """Return the routes without authentication: what calls them puts a valid token into the request's state."""
    app = _with_routes()
    app.state.process = process
    _answer_errors(app)
    _answer_errors_of_the_store(app)
    return app


def document() -> dict[str, Any]:
    """Return the OpenAPI document, without a process behind it."""
    return document_of(_with_routes())


def _with_routes() -> FastAPI:
    app = FastAPI(
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
    )
    app.include_router(health.router)
    for noun in _NOUNS:
        app.include_router(noun.router, prefix="/v1")
    return app


def _methods(app: FastAPI, request: Request) -> list[str]:
    """Return what this path can be asked for."""

    def fits(method: str) -> bool:
        scope = {**request.scope, "method": method}
        return any(route.matches(scope)[0] is Match.FULL for route in app.router.routes)

    found = [method for method in _METHODS if fits(method)]
    return [*found, "HEAD"] if "GET" in found else found


class Heads:
    """Answers HEAD as GET, without the body. A stream ends with its headers."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            return await self._app(scope, receive, send)
        over = False

        async def sending(message: Message) -> None:
            nonlocal over
            if message["type"] == "http.response.start":
                await send(message)
            elif not over:
                over = True
                await send({"type": "http.response.body", "body": b""})

        return await self._app({**scope, "method": "GET"}, receive, sending)


class LastResort:
    """Answers a defect of ours without saying what it was, and adds the headers of every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        begun = False

        async def sending(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                message = {**message, "headers": _with_ours(message["headers"])}
            await send(message)

        try:
            await self._app(scope, receive, sending)
        except ClientDisconnect:  # it left before its request was complete: nothing was done
            return None
        except (Exception, asyncio.CancelledError) as error:
            if begun:  # the connection is cut: the answer cannot be completed
                raise
            await _answer_to(error, scope)(scope, receive, sending)
        return None


def _answer_to(error: Exception | asyncio.CancelledError, scope: Scope) -> JSONResponse:
    """Log why a request failed, and return what its client may know of that."""
    if isinstance(error, asyncio.CancelledError):
        log.warning("%s %s was not done when the process ended", scope["method"], scope["path"])
        message = "the process ended before the request was done: repeat it under its Idempotency-Key"
        return answer(unavailable(message))
    log_failure(log, error, f"{scope['method']} {scope['path']} failed")
    return unexpected()


def _with_ours(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    given = list(headers)
    names = {name.lower() for name, _ in given}
    return given + [one for one in _HEADERS if one[0] not in names]


def _answer_errors(app: FastAPI) -> None:
    @app.exception_handler(Problem)
    async def on_problem(_: Request, error: Problem) -> JSONResponse:
        return answer(error)

    @app.exception_handler(Refusal)
    async def on_refusal(_: Request, error: Refusal) -> JSONResponse:
        return answer(Problem.of(error))

    @app.exception_handler(RequestValidationError)
    async def on_invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        faults = [
            fault(path_of(one["loc"]), in_words(one), one["type"]) for one in error.errors()[:_MOST_FAULTS]
        ]
        return answer(invalid(*faults))

    @app.exception_handler(HTTPException)
    async def on_http(request: Request, error: HTTPException) -> JSONResponse:
        return answer(_problem_of(app, request, error))


def _answer_errors_of_the_store(app: FastAPI) -> None:
    @app.exception_handler(StoreOutage)
    async def on_outage(_: Request, error: StoreOutage) -> JSONResponse:
        log.warning("a request is answered 503: %s", error)
        return answer(unavailable("the database does not answer: repeat the request later"))

    @app.exception_handler(StoreError)
    async def on_error_of_one_statement(_: Request, error: StoreError) -> JSONResponse:
        if error_class(error) is not ErrorClass.TIMED_OUT:
            raise error
        log.warning("a request is answered 503: a statement took too long (%s)", type(error).__name__)
        return answer(unavailable("the database is slow: repeat the request later"))


def _problem_of(app: FastAPI, request: Request, error: HTTPException) -> Problem:
    """Return the problem of a request that no route takes."""
    code = _CODES.get(error.status_code, ApiCode.MALFORMED)
    what = "no such path" if code is ApiCode.NOT_FOUND else str(error.detail)
    headers = dict(error.headers or {})
    if code is ApiCode.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(_methods(app, request))
    message = f"{what}: {request.method} {request.url.path[:200]}"
    return Problem(code, message, status=error.status_code, headers=headers)
