"""Templates, and what every page has: who has signed in, what they may do, and the places that lead on."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from orchestrator.api.callers import Caller, caller_of, process_of
from orchestrator.console import wording
from orchestrator.console.forms import new_key
from orchestrator.console.guards import form_token
from orchestrator.rules.values import Scope

STATIC = Path(__file__).parent / "static"
#: Address, label, and whether it concerns the whole installation.
PLACES = (
    ("/", "Overview", False),
    ("/sessions", "Sessions", False),
    ("/new", "New session", False),
    ("/queue", "Queue", False),
    ("/accounts", "Accounts", False),
    ("/costs", "Costs", False),
    ("/providers", "Providers", True),
    ("/unproven", "Unproven", False),
    ("/jobs", "Jobs", False),
    ("/events", "Events", False),
    ("/audit", "Audit", True),
    ("/what-if", "What if", True),
    ("/webhooks", "Webhooks", True),
)
#: Places that only administrators may see.
OF_ADMINS = frozenset({"/webhooks"})
#: Places of those who may change something here.
OF_OPERATORS = frozenset({"/new"})
#: What was done, by the name in the address that a form leads to.
DONE = {
    "created": "The session was created.",
    "queued": "The session is queued.",
    "closed": "The close is decided. The session is stopped once its provider has confirmed it.",
    "extended": "The limits are raised.",
    "pinged": "Its next ping is due now.",
    "started": "The session starts.",
    "deleted": "The session is deleted.",
    "ended": "It is ended without the provider's proof, with your name and reason.",
    "confirmed": "It is recorded as closed, on your word.",
    "retried": "Its next try is due now.",
    "credited": "The account is credited.",
    "put": "The account's limits are changed.",
    "budgeted": "The budget is set. It applies to what starts from now on.",
    "unbudgeted": "The budget is removed.",
    "released": "The brakes are released.",
    "hooked": "The webhook is saved. A test event shows whether its receiver accepts events.",
    "unhooked": "The webhook is deleted.",
    "replayed": "The events are sent again.",
    "many": "The closes are decided. Each session is stopped once its provider has confirmed it.",
}


def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("orchestrator.console"),
        autoescape=select_autoescape(default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    for name in ("ago", "amount", "clock", "instant", "number", "span", "tone", "words"):
        made.filters[name] = getattr(wording, name)
    return made


_templates = _environment()


def read_templates() -> None:
    """Read every template, so that an upgrade which replaces the files changes nothing for this process."""
    for name in _templates.list_templates():
        _templates.get_template(name)


async def page(request: Request, template: str, *, status: int = 200, **content: Any) -> HTMLResponse:
    """Return a page. Its template has, besides `content`, what `_of_all` says."""
    shown = {**await _of_all(request), **content}
    return HTMLResponse(_templates.get_template(template).render(shown), status)


def bare(template: str, *, status: int = 200, **content: Any) -> HTMLResponse:
    """Return a page for someone who has not signed in."""
    return HTMLResponse(_templates.get_template(template).render({"me": None, **content}), status)


async def _of_all(request: Request) -> Mapping[str, Any]:
    caller, process = caller_of(request), process_of(request)
    read_only = bool(request.app.state.read_only)
    may = _may(caller, read_only=read_only)
    return {
        "me": caller.token,
        "may": may,
        "read_only": read_only,
        "form": form_token(request.state.secret),
        "new_key": new_key,
        "now": await process.read(lambda tx: tx.now()),
        "here": request.url.path,
        "query": request.query_params,
        "places": [one for one in PLACES if _leads_to(caller, may, *one)],
        "done": DONE.get(request.query_params.get("done", "")),
    }


def _leads_to(caller: Caller, may: Mapping[str, bool], address: str, _label: str, of_all: bool) -> bool:  # noqa: FBT001
    """Return whether this person may see that place."""
    if address in OF_ADMINS and not caller.token.allows(Scope.ADMIN):
        return False
    if address in OF_OPERATORS and not may["operate"]:
        return False
    return not of_all or may["see_all"]


def _may(caller: Caller, *, read_only: bool) -> Mapping[str, bool]:
    """Return what this person's token allows here."""
    token = caller.token
    changes = not read_only
    return {
        "operate": changes and token.allows(Scope.OPERATE),
        "admin": changes and token.allows(Scope.ADMIN),
        "reveal": token.allows(Scope.REVEAL),
        "see_all": caller.account_id is None,
    }
