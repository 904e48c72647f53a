"""Accounts: their money, their quota, their budgets, and who uses them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import RedirectResponse, Response

from orchestrator.api.callers import caller_of, process_of
from orchestrator.api.parameters import AccountId
from orchestrator.api.routes.ledgers import whole_ledger
from orchestrator.console import drawing
from orchestrator.console.access import ADMIN, READ
from orchestrator.console.backend import ask, change, get
from orchestrator.console.forms import Form, form_of, given
from orchestrator.console.pages import page
from orchestrator.console.wording import instant
from orchestrator.flows.reports import account_view
from orchestrator.rules.admission.quota import QUOTAS
from orchestrator.store.transaction import Transaction

router = APIRouter()

#: Entries of the ledger on an account's page, on a page of the ledger, and in the chart of the balance.
LINES, PER_PAGE, DRAWN = 12, 50, 200
#: Sessions that an account's page lists.
BURNING = 50


@router.get("/accounts", dependencies=READ)
async def accounts(request: Request, after: Annotated[str | None, Query(max_length=1000)] = None) -> Response:
    """List accounts, by id; lead a token of one account to its own."""
    mine = caller_of(request).account_id
    if mine is not None:
        return RedirectResponse(f"/accounts/{mine}", 303)
    found = await get(request, "/accounts", given(limit=PER_PAGE, after=after))
    return await page(request, "accounts.html", found=found["items"], following=found["next"])


@router.get("/accounts/{account_id}", dependencies=READ)
async def account(request: Request, account_id: AccountId) -> Response:
    """Show what the account has, uses and burns, and what moved its money."""
    answer = await ask(request, "GET", f"/accounts/{account_id}")
    forecast = await forecast_of(request, account_id, BURNING)
    ledger = await get(request, f"/accounts/{account_id}/ledger", {"limit": DRAWN})
    budgets = await ask(request, "GET", f"/accounts/{account_id}/budgets")
    return await page(
        request,
        "account.html",
        one=answer.content,
        version=answer.headers["etag"],
        forecast=forecast,
        burning=BURNING,
        lines=ledger["items"][:LINES],
        balance=drawing.line(_balances(ledger["items"]), "Balance over time", "good"),
        since=ledger["items"][-1]["at"] if ledger["items"] else None,
        quotas=QUOTAS,
        budgets={budget["period"]: budget for budget in budgets.content["budgets"]},
        budget_version=budgets.headers["etag"],
    )


async def forecast_of(request: Request, account_id: str, most: int) -> Mapping[str, Any]:
    """Return the forecast of an account that the API has shown to this person, with the newest of its sessions: an
    account may run thousands."""
    process = process_of(request)

    def read(tx: Transaction) -> Mapping[str, Any]:
        account = tx.accounts.get(account_id)
        assert account is not None  # accounts are never deleted
        return account_view.forecast(tx, process.services.config, account, tx.now(), most)

    return await process.read(read)


@router.get("/accounts/{account_id}/ledger", dependencies=READ)
async def ledger(
    request: Request, account_id: AccountId, after: Annotated[int | None, Query(ge=1, lt=2**62)] = None
) -> Response:
    """Show every movement of the account's money, newest first."""
    query = given(limit=PER_PAGE, after=after)
    found = await get(request, f"/accounts/{account_id}/ledger", query)
    return await page(
        request, "ledger.html", account_id=account_id, lines=found["items"], following=found["next"]
    )


@router.get("/accounts/{account_id}/ledger.csv", dependencies=READ)
async def download(request: Request, account_id: AccountId) -> Response:
    """Send the whole ledger as CSV."""
    caller_of(request).needs_account(account_id)
    return await whole_ledger(process_of(request), account_id)


@router.post("/accounts/{account_id}/credit", dependencies=ADMIN)
async def credit(request: Request, account_id: AccountId) -> Response:
    """Give the account money, once under its reference."""
    form = await form_of(request)
    body = given(
        amount=form.text("amount"), currency=form.text("currency"), key=form.text("reference") or form.key
    )
    await change(request, "POST", f"/accounts/{account_id}/credits", body, key=form.key)
    return RedirectResponse(f"/accounts/{account_id}?done=credited", 303)


@router.post("/accounts/{account_id}/quota", dependencies=ADMIN)
async def put_quota(request: Request, account_id: AccountId) -> Response:
    """Change the account's plan and its own numbers, unless another person has changed them meanwhile."""
    form = await form_of(request)
    body = given(
        plan=form.text("plan"), currency=form.text("currency"), overdraft_limit=form.text("overdraft")
    )
    body["quota"] = _quota(form)
    version = {"If-Match": form.values.get("version", "")}
    path = f"/accounts/{account_id}"
    await ask(request, "PUT", path, body=body, key=form.key, headers=version)
    return RedirectResponse(f"{path}?done=put", 303)


def _quota(form: Form) -> Mapping[str, int | str]:
    """Return the numbers that were given; an empty field is the plan's again."""
    found: dict[str, int | str] = {}
    for name in QUOTAS:
        text = form.text(name)
        unlimited = text is not None and text.lower() == "unlimited"
        found[name] = "unlimited" if unlimited else ("plan" if text is None else form.number(name) or 0)
    return found


def _balances(lines: Sequence[Mapping[str, Any]]) -> list[tuple[datetime, float]]:
    found = [(instant(one["at"]), one["balance"]) for one in reversed(lines) if one["balance"] is not None]
    return [(at, float(balance)) for at, balance in found if at is not None]
