"""Budgets of an account: a form for each period puts, changes or takes away what may be spent in it."""

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from orchestrator.api.parameters import AccountId
from orchestrator.api.problems import fault, invalid
from orchestrator.api.routes.accounts import BudgetPeriod
from orchestrator.console.access import ADMIN
from orchestrator.console.backend import ask
from orchestrator.console.forms import Form, form_of, given

router = APIRouter()


@router.post("/accounts/{account_id}/budgets/{period}", dependencies=ADMIN)
async def put_budget(request: Request, account_id: AccountId, period: BudgetPeriod) -> Response:
    """Put the budget of this period, or take it away where that button was pressed, unless another person has changed
    the account's budgets meanwhile."""
    form = await form_of(request)
    path = f"/accounts/{account_id}"
    taken_away = form.is_set("remove")
    terms = given(currency=form.text("currency")) if taken_away else _terms(form)
    version = {"If-Match": form.values.get("version", "")}
    await ask(request, "PUT", f"{path}/budgets/{period}", body=terms, key=form.key, headers=version)
    return RedirectResponse(f"{path}?done={'unbudgeted' if taken_away else 'budgeted'}", 303)


def _terms(form: Form) -> Mapping[str, Any]:
    """Return the budget. Raises Problem without an amount: an emptied field alone takes no budget away."""
    if form.text("amount") is None:
        raise invalid(fault("amount", "is missing: give one, or press the button that removes the budget"))
    terms = {name: form.text(name) for name in ("amount", "currency", "max_burn_per_hour")}
    return given(**terms) | {"hard_stop": form.is_set("hard_stop")}
