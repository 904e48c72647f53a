"""Webhooks: what did not arrive there, a test, a replay, and changes. All of it is for administrators."""

import re
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from orchestrator.api.routes.webhooks import Name
from orchestrator.console.access import ADMIN_ALL, READ_ALL
from orchestrator.console.backend import change, get
from orchestrator.console.forms import Form, form_of
from orchestrator.console.pages import page

router = APIRouter()


@router.get("/webhooks", dependencies=READ_ALL)
async def webhooks(request: Request) -> Response:
    """List webhooks with what waits, and show the form of a new one."""
    found = await get(request, "/webhooks")
    return await page(request, "webhooks.html", found=found["items"])


@router.post("/webhooks", dependencies=ADMIN_ALL)
async def put(request: Request) -> Response:
    """Add a webhook, or change the one of this name."""
    form = await form_of(request)
    name = form.text("name") or ""
    await change(request, "PUT", f"/webhooks/{name}", _terms(form), key=form.key)
    return RedirectResponse(f"/webhooks/{name}?done=hooked", 303)


@router.get("/webhooks/{name}", dependencies=READ_ALL)
async def webhook(request: Request, name: Name) -> Response:
    """Show one webhook with its dead letters."""
    return await page(request, "webhook.html", **await _shown(request, name), tried=None, asks=False)


@router.post("/webhooks/{name}/test", dependencies=ADMIN_ALL)
async def try_out(request: Request, name: Name) -> Response:
    """Send a signed event, and show what the receiver answered."""
    form = await form_of(request)
    tried = await change(request, "POST", f"/webhooks/{name}/test", key=form.key)
    return await page(request, "webhook.html", **await _shown(request, name), tried=tried, asks=False)


@router.post("/webhooks/{name}/replay", dependencies=ADMIN_ALL)
async def replay(request: Request, name: Name) -> Response:
    """Send everything again that was given up, or one event."""
    form = await form_of(request)
    event = form.text("event")
    await change(
        request, "POST", f"/webhooks/{name}/replay", {"events": [event] if event else []}, key=form.key
    )
    return RedirectResponse(f"/webhooks/{name}?done=replayed", 303)


@router.get("/webhooks/{name}/delete", dependencies=ADMIN_ALL)
async def ask_first(request: Request, name: Name) -> Response:
    """Show what is lost, and ask."""
    return await page(request, "webhook.html", **await _shown(request, name), tried=None, asks=True)


@router.post("/webhooks/{name}/delete", dependencies=ADMIN_ALL)
async def delete(request: Request, name: Name) -> Response:
    """Delete it."""
    form = await form_of(request)
    await change(request, "DELETE", f"/webhooks/{name}", key=form.key)
    return RedirectResponse("/webhooks?done=unhooked", 303)


async def _shown(request: Request, name: str) -> Mapping[str, Any]:
    one = await get(request, f"/webhooks/{name}")
    dead = await get(request, f"/webhooks/{name}/dead-letters")
    return {"one": one, "dead": dead["items"]}


def _terms(form: Form) -> dict[str, Any]:
    lists = {name: _listed(form, name) for name in ("secrets", "events", "accounts")}
    return {"url": form.text("url") or "", **lists, "active": form.is_set("active")}


def _listed(form: Form, name: str) -> list[str]:
    """Return the words of a field, with commas or spaces between them."""
    return [word for word in re.split(r"[\s,]+", form.text(name) or "") if word]
