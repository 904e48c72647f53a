"""Accounts: their money, their quota, their forecast."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias

from fastapi import APIRouter, Path, Request
from fastapi.responses import JSONResponse

from orchestrator.api.bodies import body_of
from orchestrator.api.callers import caller_of, process_of, unknown_account
from orchestrator.api.documents import describes
from orchestrator.api.jobs import carry_out
from orchestrator.api.parameters import AccountId, After, Limit
from orchestrator.api.problems import fault, invalid
from orchestrator.api.versions import etag_of, unchanged
from orchestrator.client import cost_resources, requests, resources
from orchestrator.flows.lifecycle.account_work import lock_account
from orchestrator.flows.reports import account_view, budgets, views
from orchestrator.flows.reports.cursors import decoded, encoded
from orchestrator.rules.values import ZERO, Account, Scope
from orchestrator.store.transaction import Transaction

router = APIRouter(tags=["accounts"])

BudgetPeriod: TypeAlias = Annotated[
    Literal["day", "month"],
    Path(description="Which budget: each day's, or each month's.", examples=["month"]),
]
#: What is put; the rest follows from sessions and the ledger.
_PUT = ("id", "plan", "currency", "own_quota", "overdraft_limit")
_CREDIT = {"amount": "25.00", "currency": "USD", "key": "invoice-4711"}
_DEBIT = {**_CREDIT, "reason": "credited twice", "author": "billing"}


@router.get("/accounts", **describes(Scope.READ, resources.AccountPageResource))
async def list_accounts(request: Request, limit: Limit = 50, after: After = None) -> JSONResponse:
    """List accounts, by id."""
    behind, caller = (decoded(after, 1)[0] if after else ""), caller_of(request)

    def read(tx: Transaction) -> Mapping[str, Any]:
        if caller.account_id is not None:
            only = tx.accounts.get(caller.account_id)
            return {"items": [views.of_account(only)] if only and not after else [], "next": None}
        found = tx.pages.accounts(limit + 1, behind)
        items = [views.of_account(one) for one in found[:limit]]
        return {"items": items, "next": encoded(items[-1]["id"]) if len(found) > limit else None}

    return JSONResponse(await process_of(request).read(read))


@router.get(
    "/accounts/{account_id}",
    **describes(Scope.READ, resources.AccountResource, errors=(404,), versioned=True),
)
async def get_account(request: Request, account_id: AccountId) -> JSONResponse:
    """Return one account, with its quota, how much of it is used, and by which sessions."""
    process = process_of(request)
    caller_of(request).needs_account(account_id)

    def read(tx: Transaction) -> tuple[dict[str, Any], str]:
        account = _found(tx, account_id)
        view = account_view.with_quota(tx, process.services.config, account, tx.now())
        return view, etag_of(_what_is_put(account))

    view, version = await process.read(read)
    return JSONResponse(view, headers={"ETag": version})


@router.put(
    "/accounts/{account_id}",
    **describes(
        Scope.ADMIN,
        resources.AccountResource,
        errors=(404, 412),
        body=requests.PutAccount,
        without="account_id",
        job=True,
        versioned=True,
        example={"plan": "payg", "currency": "USD", "quota": {"max_concurrent": 5}},
    ),
)
async def put_account(request: Request, account_id: AccountId) -> JSONResponse:
    """Create an account, or change it. Limits of its own that are left out stay."""
    services = process_of(request).services

    def current(tx: Transaction) -> Mapping[str, Any] | None:
        locked = lock_account(services, tx, account_id)
        if locked is None:
            tx.accounts.rely_on_absence(account_id)
            return None
        return _what_is_put(locked[0])

    return await carry_out(
        request,
        "account.put",
        {**await _body(request), "account_id": account_id},
        precondition=unchanged(request, current),
        versioned=_part_that_is_put,
    )


@router.post(
    "/accounts/{account_id}/credits",
    **describes(
        Scope.ADMIN,
        resources.CreditResource,
        errors=(404,),
        body=requests.CreditAccount,
        without="account_id",
        job=True,
        example=_CREDIT,
    ),
)
async def credit_account(request: Request, account_id: AccountId) -> JSONResponse:
    """Give an account money. The same `key` credits once."""
    return await carry_out(request, "account.credit", {**await _body(request), "account_id": account_id})


@router.post(
    "/accounts/{account_id}/debits",
    **describes(
        Scope.ADMIN,
        resources.CreditResource,
        errors=(404,),
        body=requests.DebitAccount,
        without="account_id",
        job=True,
        example=_DEBIT,
    ),
)
async def debit_account(request: Request, account_id: AccountId) -> JSONResponse:
    """Take back money that was credited by mistake. The same `key` debits once."""
    return await carry_out(request, "account.debit", {**await _body(request), "account_id": account_id})


@router.get(
    "/accounts/{account_id}/budgets",
    **describes(Scope.READ, cost_resources.BudgetsResource, errors=(404,), versioned=True),
)
async def get_budgets(request: Request, account_id: AccountId) -> JSONResponse:
    """Return the account's budgets, and what is used of each by now."""
    caller_of(request).needs_account(account_id)

    def read(tx: Transaction) -> Mapping[str, Any]:
        return budgets.read_budgets(tx, _found(tx, account_id), tx.now())

    view = await process_of(request).read(read)
    return JSONResponse(view, headers={"ETag": etag_of(budgets.that_is_put(view))})


@router.put(
    "/accounts/{account_id}/budgets/{period}",
    **describes(
        Scope.ADMIN,
        cost_resources.BudgetsResource,
        errors=(404, 412),
        body=requests.BudgetAccount,
        without=("account_id", "period"),
        job=True,
        versioned=True,
        example={"amount": "250.00", "currency": "USD", "max_burn_per_hour": "5.00"},
    ),
)
async def budget_account(request: Request, account_id: AccountId, period: BudgetPeriod) -> JSONResponse:
    """Give the account a budget for each day or month (UTC), change it, or, without an amount, take it away. The `ETag`
    is that of all the account's budgets."""
    body, services = await _body(request), process_of(request).services
    if "period" in body:
        raise invalid(fault("period", "the path names the period: leave it out of the body"))

    def current(tx: Transaction) -> Mapping[str, Any] | None:
        locked = lock_account(services, tx, account_id)
        return (
            None if locked is None else budgets.that_is_put(budgets.budgets_of(tx, locked[0], ZERO, tx.now()))
        )

    return await carry_out(
        request,
        "account.budget",
        {**body, "account_id": account_id, "period": period},
        precondition=unchanged(request, current),
        versioned=budgets.that_is_put,
    )


@router.get(
    "/accounts/{account_id}/forecast",
    **describes(Scope.READ, resources.ForecastResource, errors=(404,)),
)
async def get_forecast(request: Request, account_id: AccountId) -> JSONResponse:
    """Return what the account burns, when its funds end, and what each session has cost."""
    process = process_of(request)
    caller_of(request).needs_account(account_id)

    def read(tx: Transaction) -> Mapping[str, Any]:
        return account_view.forecast(tx, process.services.config, _found(tx, account_id), tx.now())

    return JSONResponse(await process.read(read))


def _found(tx: Transaction, account_id: str) -> Account:
    account = tx.accounts.get(account_id)
    if account is None:
        raise unknown_account(account_id)
    return account


def _what_is_put(account: Account) -> Mapping[str, Any]:
    return _part_that_is_put(views.of_account(account))


def _part_that_is_put(view: Mapping[str, Any]) -> Mapping[str, Any]:
    return {name: view[name] for name in _PUT}


async def _body(request: Request) -> dict[str, Any]:
    body = await body_of(request)
    if "account_id" in body:
        raise invalid(fault("account_id", "the path names the account: leave it out of the body"))
    return body
