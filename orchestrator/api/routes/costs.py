"""What was spent, what running sessions burn, and what is expected by their ends."""

import re
from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse
from pydantic import BeforeValidator

from orchestrator.api.callers import caller_of, process_of, unknown_account
from orchestrator.api.documents import describes
from orchestrator.api.parameters import Account, Limit
from orchestrator.api.problems import fault, invalid
from orchestrator.client import cost_resources
from orchestrator.flows.reports import costs
from orchestrator.rules.billing.costs import CostsBy
from orchestrator.rules.values import Scope
from orchestrator.store.transaction import Transaction

router = APIRouter(tags=["accounts"])
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def _plain_day(text: Any) -> Any:
    """Refuse what pydantic would take for a day besides: seconds since 1970, and times at midnight."""
    if isinstance(text, str) and not _DAY.fullmatch(text):
        raise ValueError("must be a day such as 2026-01-31")
    return text


@router.get("/costs", **describes(Scope.READ, cost_resources.CostsResource, errors=(404,)))
async def get_costs(
    request: Request,
    by: Annotated[
        Literal["account", "model", "provider", "day"], Query(description="What to add up by.")
    ] = "account",
    account: Account = None,
    since: Annotated[
        date | None,
        BeforeValidator(_plain_day),
        Query(
            description="From this day on (UTC); by default the first of this month.", examples=["2026-01-31"]
        ),
    ] = None,
    limit: Limit = 50,
) -> JSONResponse:
    """Return what was spent, what runs now costs an hour, and what is expected once it has stopped. Without `account`,
    of all accounts that the token may see."""
    caller = caller_of(request)
    if account is not None:
        caller.needs_account(account)
    account_id = account if account is not None else caller.account_id

    def read(tx: Transaction) -> Mapping[str, Any]:
        if account_id is not None and tx.accounts.get(account_id) is None:
            raise unknown_account(account_id)
        now = tx.now()
        if since is not None and since > now.date():
            raise invalid(fault("query.since", "lies in the future (days are in UTC)"))
        return costs.costs(tx, now, CostsBy(by), since, account_id, limit, costs.MOST_ON_A_PAGE)

    return JSONResponse(await process_of(request).read(read))
