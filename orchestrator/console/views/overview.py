"""The installation at a glance, with the last hour; for a token of one account, its account."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from orchestrator.api.callers import caller_of
from orchestrator.console import charts
from orchestrator.console.access import READ
from orchestrator.console.backend import get
from orchestrator.console.pages import page
from orchestrator.rules.states import State

router = APIRouter()


@router.get("/", dependencies=READ)
async def overview(request: Request) -> Response:
    """Show what runs, burns, is late, unproven or alarming."""
    mine = caller_of(request).account_id
    if mine is not None:
        return RedirectResponse(f"/accounts/{mine}", 303)
    found = await get(request, "/overview")
    minutes = charts.complete(found["last_hour"], datetime.fromisoformat(found["at"]))
    return await page(
        request,
        "overview.html",
        found=found,
        states=_by_state(found["sessions"]),
        alarms=await get(request, "/alarms"),
        charts=charts.of_installation(minutes),
        newest=minutes[-1] if minutes else None,
    )


def _by_state(counted: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return each state with its count, and with its counts by provider."""
    where: dict[str, Counter[str]] = {state.value: Counter() for state in State}
    for one in counted:
        where[one["state"]][one["provider"] or ""] += one["count"]
    return [
        {"state": state, "count": sum(places.values()), "where": sorted(places.items())}
        for state, places in where.items()
    ]
