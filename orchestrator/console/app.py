"""The application of the pages: routes, middleware, and how each error is shown."""

import logging

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orchestrator.api.app import answering
from orchestrator.api.authentication import Failures
from orchestrator.api.problems import ApiCode, Problem
from orchestrator.api.process import ApiProcess
from orchestrator.console.guards import Guarded, needs_own_site
from orchestrator.console.pages import STATIC, bare, page
from orchestrator.console.session import SignedIn, local
from orchestrator.console.views import NOUNS
from orchestrator.flows.engine.failures import log_failure
from orchestrator.rules.refusals import ErrorCode, Refusal
from orchestrator.store.database import StoreOutage
from orchestrator.validation.locs import path_of
from orchestrator.validation.wording import in_words

log = logging.getLogger(__name__)


def create_console(process: ApiProcess, failures: Failures, *, read_only: bool = False) -> FastAPI:
    """Return the application of the pages. `failures`: the limit that it shares with the API."""
    app = FastAPI(
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        dependencies=[Depends(needs_own_site)],
    )
    app.state.process, app.state.failures, app.state.read_only = process, failures, read_only
    app.state.api = answering(process)
    for noun in NOUNS:
        app.include_router(noun.router)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    _show_errors(app)
    app.add_middleware(SignedIn)
    app.add_middleware(FailurePage)
    app.add_middleware(Guarded)
    return app


class FailurePage:
    """Shows that a page failed, without saying how: the log has it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def sending(message: Message) -> None:
            nonlocal begun
            begun = begun or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, sending)
        except Exception as error:
            if begun:
                raise
            outage = isinstance(error, StoreOutage)
            if not outage:
                log_failure(log, error, f"{scope['method']} {scope['path']} failed")
            what = "the database does not answer: load the page again later" if outage else FAILED
            shown = bare("error.html", status=503 if outage else 500, title="Not available", message=what)
            await shown(scope, receive, send)


def _show_errors(app: FastAPI) -> None:
    @app.exception_handler(Problem)
    async def on_problem(request: Request, error: Problem) -> Response:
        return await _refused(request, error)

    @app.exception_handler(Refusal)
    async def on_refusal(request: Request, error: Refusal) -> Response:
        return await _refused(request, Problem.of(error))

    @app.exception_handler(RequestValidationError)
    async def on_invalid(request: Request, error: RequestValidationError) -> Response:
        said = "; ".join(f"{path_of(one['loc'])} {in_words(one)}" for one in error.errors()[:5])
        return await _refused(request, Problem(ErrorCode.INVALID_REQUEST, said))

    @app.exception_handler(HTTPException)
    async def on_http(request: Request, error: HTTPException) -> Response:
        what = "there is no such page" if error.status_code == 404 else str(error.detail)
        code = ApiCode.NOT_FOUND if error.status_code == 404 else ApiCode.MALFORMED
        return await _refused(request, Problem(code, what, status=error.status_code))


async def _refused(request: Request, problem: Problem) -> Response:
    title = _TITLES.get(problem.status, "Refused")
    if not hasattr(request.state, "token"):
        return bare("error.html", status=problem.status, title=title, message=problem.message)
    return await page(
        request, "refused.html", status=problem.status, title=title, problem=problem, back=_back(request)
    )


def _back(request: Request) -> str:
    """Return the page that a form was sent from. A browser takes an address that begins with `//` for one elsewhere."""
    path = request.url.path
    return local(path if request.method == "GET" else path.rpartition("/")[0])


_TITLES = {403: "Not allowed", 404: "Not found", 409: "Not now", 422: "Not like this", 503: "Busy"}
FAILED = "the page failed for a reason that is in the log of this process"
