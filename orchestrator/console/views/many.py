"""Close many sessions: first what it hits, then their number is typed."""

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from orchestrator.api.problems import fault, invalid
from orchestrator.console.access import OPERATE
from orchestrator.console.backend import change
from orchestrator.console.forms import Form, form_of, given
from orchestrator.console.pages import page

router = APIRouter()

_FIELDS = ("account_id", "provider", "model_id", "since", "where")
#: States that can be closed.
STATES = ("created", "queued", "starting", "running")


@router.get("/sessions/close-many", dependencies=OPERATE)
async def choose(request: Request) -> Response:
    """Ask which sessions; show what a close would hit once a filter is given."""
    query = request.query_params
    wanted: dict[str, Any] = given(**{name: query.get(name) for name in _FIELDS})
    if query.getlist("state"):
        wanted["state"] = query.getlist("state")
    looked = "look" in query
    plan = await change(request, "POST", "/sessions:close", wanted) if looked else None
    return await page(request, "many.html", plan=plan, wanted=wanted, states=STATES)


@router.post("/sessions/close-many", dependencies=OPERATE)
async def close(request: Request) -> Response:
    """Close exactly what was shown."""
    form = await form_of(request)
    if form.text("typed") != form.text("count"):
        raise invalid(
            fault("typed", "is not the number of sessions that would be closed: nothing was closed")
        )
    done = await change(request, "POST", "/sessions:close", _executed(form), key=form.key)
    if done["refused"]:
        return await page(request, "many_done.html", finished=done)
    return RedirectResponse("/sessions?done=many", 303)


def _executed(form: Form) -> Mapping[str, Any]:
    wanted: dict[str, Any] = given(**{name: form.text(name) for name in (*_FIELDS, "detail", "plan")})
    states = form.text("states")
    if states is not None:
        wanted["state"] = states.split(",")
    return {**wanted, "dry_run": False}
