"""Providers: their keys, brakes and alarms; a check, and the release of brakes."""

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from orchestrator.api.callers import process_of
from orchestrator.api.parameters import ProviderName
from orchestrator.console import charts
from orchestrator.console.access import ADMIN_ALL, READ_ALL
from orchestrator.console.backend import change, get
from orchestrator.console.forms import form_of
from orchestrator.console.pages import page
from orchestrator.flows.operations.checks import card_facts

router = APIRouter()


@router.get("/providers", dependencies=READ_ALL)
async def providers(request: Request) -> Response:
    """List providers with the state of their keys."""
    found = await get(request, "/providers")
    return await page(request, "providers.html", found=found["items"])


@router.get("/providers/{name}", dependencies=READ_ALL)
async def provider(request: Request, name: ProviderName) -> Response:
    """Show one provider."""
    one = await get(request, f"/providers/{name}")
    card = process_of(request).services.card(name)
    facts = [] if card is None else list(card_facts(card))
    running = await get(request, "/sessions", {"provider": name, "state": "running", "limit": 10})
    now = await process_of(request).read(lambda tx: tx.now())
    drawn = charts.of_provider(charts.complete(one["last_hour"], now))
    return await page(request, "provider.html", one=one, facts=facts, running=running["items"], charts=drawn)


@router.post("/providers/{name}/check", dependencies=ADMIN_ALL)
async def check(request: Request, name: ProviderName) -> Response:
    """Try keys, balance, models and one ping there, and show what was found."""
    await form_of(request)
    tried = await change(request, "POST", f"/providers/{name}/check")
    return await page(request, "checked.html", name=name, tried=tried)


@router.get("/providers/{name}/release-brake", dependencies=ADMIN_ALL)
async def ask_first(request: Request, name: ProviderName) -> Response:
    """Show what a release lets happen, and ask."""
    one = await get(request, f"/providers/{name}")
    held = await get(request, "/sessions", {"provider": name, "state": "running", "limit": 50})
    return await page(request, "release.html", one=one, hits=held["items"], more=held["next"] is not None)


@router.post("/providers/{name}/release-brake", dependencies=ADMIN_ALL)
async def release(request: Request, name: ProviderName) -> Response:
    """Release the brakes."""
    await form_of(request)
    await change(request, "POST", f"/providers/{name}/release-brake")
    return RedirectResponse(f"/providers/{name}?done=released", 303)
