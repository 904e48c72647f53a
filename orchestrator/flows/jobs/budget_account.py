"""Give an account a budget for a period, change it, or take it away."""

from collections.abc import Mapping
from typing import Any

from orchestrator.client.requests import BudgetAccount
from orchestrator.flows.engine.services import Services
from orchestrator.flows.jobs import lookup
from orchestrator.flows.reports.budgets import budgets_of
from orchestrator.rules.billing import budgets
from orchestrator.rules.refusals import ErrorCode, Refusal
from orchestrator.rules.values.budgets import Budget, BudgetPeriod
from orchestrator.rules.values.copies import replace
from orchestrator.store.transaction import Transaction


def budget_account(services: Services, tx: Transaction, request: BudgetAccount) -> Mapping[str, Any]:
    """Put the budget of one period and return all of the account's. Sessions that are admitted keep running unless it
    has a hard stop; thresholds that are reached already are announced now."""
    work = lookup.account(services, tx, request.account_id)
    if request.currency != work.account.currency:
        message = f"account {work.account.id} is kept in {work.account.currency}, not in {request.currency}"
        raise Refusal(ErrorCode.CURRENCY_MISMATCH, message, account_currency=work.account.currency)
    period = BudgetPeriod(request.period)
    if request.amount is None:
        after = budgets.without(work.account.budgets, period)
    else:
        wanted = Budget(
            period=period,
            amount=request.amount,
            max_burn_per_hour=request.max_burn_per_hour,
            hard_stop=request.hard_stop,
        )
        used = work.spending.used(work.account, period, work.now)
        after = budgets.put(work.account.budgets, wanted, used, work.now)
    work.account = replace(work.account, budgets=after)
    work.note_freed_capacity()  # a session may wait for what the budget allows now
    account = work.finish()
    return budgets_of(tx, account, work.burning.uncharged(work.now), work.now)
