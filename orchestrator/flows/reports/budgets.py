"""An account's budgets as people and other services read them."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from orchestrator.flows.reports.views import as_text
from orchestrator.rules.billing import money
from orchestrator.rules.billing.budgets import carried_into, first_day, reached_by_now
from orchestrator.rules.events import rfc3339
from orchestrator.rules.values import ZERO, Account, Budget
from orchestrator.store.transaction import Transaction

#: What follows from the time, and from what was spent.
_FOLLOWS = frozenset({"since", "used", "left", "reached_percent", "stops_at"})


def read_budgets(tx: Transaction, account: Account, now: datetime) -> dict[str, Any]:
    """Return the account's budgets, and what is used of each by now."""
    running = tx.sessions.metered(account.id) if account.budgets else ()
    return budgets_of(tx, account, sum((money.uncharged(one, now) for one in running), ZERO), now)


def budgets_of(tx: Transaction, account: Account, uncharged: Decimal, now: datetime) -> dict[str, Any]:
    """Return the same. `uncharged`: what running sessions have used and is not charged yet."""
    return {
        "account_id": account.id,
        "currency": account.currency,
        "budgets": [_budget(tx, account, one, uncharged, now) for one in account.budgets],
    }


def charged_of(tx: Transaction, account: Account, budget: Budget, now: datetime) -> Decimal:
    """Return what was charged in the budget's period of `now`, without what was carried into it."""
    since = first_day(budget.period, now)
    return tx.costs.of_account(account.id, since) - carried_into(budget, since)


def that_is_put(view: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of the budgets that people and other services put; the rest follows from what is spent."""
    kept = [{name: value for name, value in one.items() if name not in _FOLLOWS} for one in view["budgets"]]
    return {"account_id": view["account_id"], "budgets": kept}


def _budget(
    tx: Transaction, account: Account, budget: Budget, uncharged: Decimal, now: datetime
) -> dict[str, Any]:
    since, most = first_day(budget.period, now), budget.max_burn_per_hour
    used = charged_of(tx, account, budget, now) + uncharged
    return {
        "period": budget.period.value,
        "since": since.isoformat(),
        "amount": as_text(budget.amount),
        "used": as_text(used),
        "left": as_text(max(ZERO, budget.amount - used)),
        "reached_percent": reached_by_now(budget, now),
        "max_burn_per_hour": None if most is None else as_text(most),
        "hard_stop": budget.hard_stop,
        "stops_at": rfc3339(account.funds_end_at) if _ends(account, budget) else None,
    }


def _ends(account: Account, budget: Budget) -> bool:
    """Return whether the budget is what stops sessions next."""
    return budget.hard_stop and account.funds_end_by is budget.period
