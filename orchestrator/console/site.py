"""One address for programs and people: the API's paths go to the API, all others to the console."""

from starlette.types import ASGIApp, Receive, Scope, Send

from orchestrator.api.app import create_app
from orchestrator.api.authentication import OPEN, Failures
from orchestrator.api.process import ApiProcess
from orchestrator.console.app import create_console
from orchestrator.console.pages import read_templates

_OF_THE_API = OPEN | {"/openapi.json", "/v1"}


def create_site(process: ApiProcess, *, read_only: bool = False) -> ASGIApp:
    """Return the API with its console. `read_only`: the console changes nothing."""
    read_templates()
    failures = Failures()
    return Site(create_app(process, failures), create_console(process, failures, read_only=read_only))


class Site:
    """Hands each request to the application that its path belongs to."""

    def __init__(self, api: ASGIApp, console: ASGIApp) -> None:
        self._api, self._console = api, console

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        app = self._api if path in _OF_THE_API or path.startswith("/v1/") else self._console
        await app(scope, receive, send)
