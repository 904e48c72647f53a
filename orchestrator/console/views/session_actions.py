"""What is done to one session. Each page first shows what it hits."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from orchestrator.api.callers import caller_of
from orchestrator.api.parameters import SessionId
from orchestrator.console.access import OPERATE
from orchestrator.console.backend import change, get
from orchestrator.console.forms import Form, form_of, given
from orchestrator.console.pages import page
from orchestrator.rules.values import Scope

router = APIRouter()


class Name(StrEnum):
    """The actions, as addresses name them."""

    CLOSE = "close"
    EXTEND = "extend"
    PING = "ping"
    START = "start"
    DELETE = "delete"
    RETRY = "retry"
    CONFIRM = "confirm"
    FORCE = "force"


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionAction:
    """One action: what it says before it asks, and the request that it is."""

    title: str
    says: str
    button: str
    done: str
    path: str
    """Behind the session's own; empty: the session itself."""
    body: Callable[[Form], Mapping[str, Any]] = field(default=lambda _form: {})
    fields: str = ""
    """The block of fields in the template."""
    method: str = "POST"
    scope: Scope = Scope.OPERATE
    destroys: bool = False


def _closing(form: Form) -> Mapping[str, Any]:
    return given(detail=form.text("detail"))


def _extended(form: Form) -> Mapping[str, Any]:
    return given(
        max_duration_seconds=form.number("minutes", 60),
        max_interactions=form.number("interactions"),
        max_cost=form.text("cost"),
    )


def _confirmed(form: Form) -> Mapping[str, Any]:
    return {"confirm": True, "reason": "operator", **_closing(form)}


def _forced(form: Form) -> Mapping[str, Any]:
    return {"force": True, "reason": "operator", **_closing(form)}


ACTIONS: Mapping[Name, SessionAction] = MappingProxyType(
    {
        Name.CLOSE: SessionAction(
            title="Close",
            says="The session stops now. Its cost ends with this instant, and its endpoint is closed.",
            button="Close the session",
            done="closed",
            path="/close",
            body=_closing,
            fields="note",
            destroys=True,
        ),
        Name.EXTEND: SessionAction(
            title="Extend",
            says="Each number is a new total, not an addition. The limits of model and plan stay.",
            button="Raise the limits",
            done="extended",
            path="/extend",
            body=_extended,
            fields="extend",
        ),
        Name.PING: SessionAction(
            title="Ping",
            says="Its next ping becomes due now.",
            button="Ping it now",
            done="pinged",
            path="/ping",
        ),
        Name.START: SessionAction(
            title="Start",
            says="The session is admitted, or refused with the reason.",
            button="Start the session",
            done="started",
            path="/start",
        ),
        Name.DELETE: SessionAction(
            title="Delete",
            says="Its name and its place in the quota become free. Its ledger entries stay.",
            button="Delete the session",
            done="deleted",
            path="",
            method="DELETE",
            destroys=True,
        ),
        Name.RETRY: SessionAction(
            title="Retry the close",
            says="Its close is tried again at once, instead of at its next try.",
            button="Retry it now",
            done="retried",
            path="/close",
        ),
        Name.CONFIRM: SessionAction(
            title="Confirm that it is closed",
            says="You confirm that nothing of it is left at the provider. The provider is not asked again.",
            button="Confirm it",
            done="confirmed",
            path="/close",
            body=_confirmed,
            fields="note",
            scope=Scope.ADMIN,
            destroys=True,
        ),
        Name.FORCE: SessionAction(
            title="End without proof",
            says=(
                "The session ends although the provider has not confirmed it. What still runs there keeps "
                "costing money, and no process closes it. Your name and reason stay in the report for good."
            ),
            button="End it without proof",
            done="ended",
            path="/close",
            body=_forced,
            fields="reason",
            scope=Scope.ADMIN,
            destroys=True,
        ),
    }
)


@router.get("/sessions/{session_id}/{name}", dependencies=OPERATE)
async def ask_first(request: Request, session_id: SessionId, name: Name) -> Response:
    """Show what the action hits, and ask."""
    action = ACTIONS[name]
    caller_of(request).needs(action.scope)
    one = await get(request, f"/sessions/{session_id}")
    return await page(
        request, "ask.html", action=action, hits=[one], where=request.url.path, back=_of(session_id)
    )


@router.post("/sessions/{session_id}/{name}", dependencies=OPERATE)
async def act(request: Request, session_id: SessionId, name: Name) -> Response:
    """Do it, and lead to the session."""
    action, form = ACTIONS[name], await form_of(request)
    caller_of(request).needs(action.scope)
    path = f"/sessions/{session_id}{action.path}"
    await change(request, action.method, path, action.body(form), key=form.key)
    return RedirectResponse(f"{_of(session_id)}?done={action.done}", 303)


def _of(session_id: str) -> str:
    return f"/sessions/{session_id}"
