"""Put an account: create it, or change its plan and its own limits."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from orchestrator.client.requests import PutAccount
from orchestrator.flows.engine.services import Services
from orchestrator.flows.lifecycle.account_work import AccountWork
from orchestrator.flows.lifecycle.due_stops import on_account
from orchestrator.flows.reports import views
from orchestrator.rules.refusals import ErrorCode, Refusal
from orchestrator.rules.values import ZERO, Account
from orchestrator.store.transaction import Transaction


def put_account(services: Services, tx: Transaction, request: PutAccount) -> Mapping[str, Any]:
    """Create or change the account, and return it. Fields that are left out stay as they are; admitted sessions keep
    running."""
    _check_plan(services, request.plan)
    work = on_account(services, tx, request.account_id)
    if work is None:
        return views.of_account(_add(tx, request))
    _check_currency(tx, work, request)
    after = as_wanted(work.account, request)
    if services.config.terms_of(after).plan.overdraft_limit < work.terms.plan.overdraft_limit:
        _post_costs(work)  # what ran until now ran within the old limit
    work.account = as_wanted(work.account, request)
    work.recompute_funds()
    work.note_freed_capacity()
    return views.of_account(work.finish())


def _post_costs(work: AccountWork) -> None:
    last: str | None = ""
    while last is not None:
        last = work.post_costs(last)


def _add(tx: Transaction, request: PutAccount) -> Account:
    account = Account(
        id=request.account_id,
        plan=request.plan,
        currency=request.currency,
        balance=ZERO,
        created_at=tx.now(),
    )
    return tx.accounts.insert(as_wanted(account, request))


def as_wanted(account: Account, request: PutAccount) -> Account:
    """Return the account with all fields of the put."""
    return replace(
        account,
        plan=request.plan,
        currency=request.currency,
        quota=request.quota.laid_over(account.quota),
        overdraft_limit=request.overdraft_over(account.overdraft_limit),
    )


def _check_plan(services: Services, plan: str) -> None:
    if services.config.plan(plan) is None:
        known = ", ".join(sorted(services.config.plans))
        message = f"plan: {plan} is not configured; known are {known}"
        fault = {"loc": "plan", "msg": message, "type": "value"}
        raise Refusal(ErrorCode.INVALID_REQUEST, message, faults=[fault])


def _check_currency(tx: Transaction, work: AccountWork, request: PutAccount) -> None:
    moved = not tx.ledger.is_empty(work.account.id) or bool(work.burning.phases)
    if request.currency != work.account.currency and moved:
        message = (
            f"account {work.account.id} has used {work.account.currency}: its currency stays, open another"
            f" account for {request.currency}"
        )
        raise Refusal(ErrorCode.CURRENCY_MISMATCH, message, account_currency=work.account.currency)
