"""Costs: what was spent since a day, burns, and is expected, by account, model, provider or day."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from orchestrator.api.callers import caller_of
from orchestrator.client.read_requests import MOST_ENTRIES
from orchestrator.console.access import READ
from orchestrator.console.backend import get
from orchestrator.console.pages import page
from orchestrator.flows.reports.costs import MOST_ON_A_PAGE
from orchestrator.rules.billing.costs import CostsBy

router = APIRouter()

_FILTERS = ("by", "account", "since")


@router.get("/costs", dependencies=READ)
async def costs(request: Request) -> Response:
    """Show costs since a day, by default the first of this month; to a token of one account only its own."""
    chosen = {name: request.query_params.get(name, "").strip() for name in _FILTERS}
    given = {name: value for name, value in chosen.items() if value}
    by = CostsBy.ACCOUNT if caller_of(request).account_id is None else CostsBy.MODEL
    found = await get(request, "/costs", {"by": by.value, **given, "limit": MOST_ENTRIES})
    return await page(
        request,
        "costs.html",
        found=found,
        is_complete=all(one["expected"] is not None for one in found["totals"]),
        criteria=[one.value for one in CostsBy],
        most_running=MOST_ON_A_PAGE,
    )
