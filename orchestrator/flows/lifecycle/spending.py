"""The budgets of an account under its lock: what was charged in their periods is read where there are any."""

from datetime import datetime, timedelta
from decimal import Decimal

from orchestrator.flows.lifecycle.burning import Burning
from orchestrator.rules.billing import budgets
from orchestrator.rules.billing.money import MICRO
from orchestrator.rules.refusals import Refusal
from orchestrator.rules.values import Account, BudgetPeriod, Session
from orchestrator.rules.values.copies import replace
from orchestrator.store.transaction import Transaction

#: Thresholds of an account are not looked for more often.
LEAST_WAIT = timedelta(seconds=60)


class Spending:
    """What an account's budgets allow, and which thresholds are reached. Without budgets nothing is read.

    Where an upper bound of what many sessions have used would decide, they are read one by one."""

    def __init__(self, tx: Transaction, burning: Burning) -> None:
        self._tx, self._burning = tx, burning

    def refusal(self, account: Account, joining: Session, now: datetime) -> Refusal | None:
        """Return why the budgets do not allow this session to start; None if they do."""
        if not account.budgets:
            return None
        per_hour = joining.price_per_node_hour * joining.nodes
        return self._used_up(account, now) or budgets.check_burn_rate(
            account.budgets, self._burning.per_hour(), per_hour, account.currency
        )

    def used(self, account: Account, period: BudgetPeriod, now: datetime) -> Decimal:
        """Return what the account has used in the period that `now` is in."""
        spent = self._tx.costs.of_account(account.id, budgets.first_day(period, now))
        return spent + self._burning.uncharged(now)

    def announced(self, account: Account, now: datetime) -> Account:
        """Return the account with the thresholds that are reached by now, and its next posting early enough for the
        next one."""
        if not account.budgets:
            return account
        spent = charged(self._tx, account, now)
        most = self._burning.uncharged_at_most(now)
        reached = budgets.announced(account.budgets, spent, most, now)
        if reached != account.budgets:  # what is announced stays so: now exactly
            reached = budgets.announced(account.budgets, spent, self._burning.uncharged(now), now)
        after = replace(account, budgets=reached)
        left = budgets.left_to_next(after.budgets, spent)
        if after.next_charge_at is None or after.next_charge_at <= now or left is None:
            return after
        at = self._burning.spent_at(left - MICRO, now)
        if at is None or at >= after.next_charge_at:
            return after
        return replace(after, next_charge_at=max(at, now + LEAST_WAIT))

    def _used_up(self, account: Account, now: datetime) -> Refusal | None:
        spent = charged(self._tx, account, now)
        most = self._burning.uncharged_at_most(now)
        refusal = budgets.check_budgets(account.budgets, spent, most, account.currency)
        if refusal is None:
            return None
        exactly = self._burning.uncharged(now)
        return (
            refusal
            if exactly == most
            else budgets.check_budgets(account.budgets, spent, exactly, account.currency)
        )


def charged(tx: Transaction, account: Account, now: datetime) -> dict[BudgetPeriod, Decimal]:
    """Return what was charged in the period of each budget."""
    periods = [one.period for one in account.budgets]
    return {one: tx.costs.of_account(account.id, budgets.first_day(one, now)) for one in periods}
