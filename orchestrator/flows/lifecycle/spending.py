"""The budgets of an account under its lock: what was charged in their periods is read where there are any."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from orchestrator.flows.lifecycle.burning import Burning
from orchestrator.rules import events
from orchestrator.rules.billing import budgets, hard_stops, money
from orchestrator.rules.billing.hard_stops import FundsLimit
from orchestrator.rules.billing.money import MICRO, FundsEnd
from orchestrator.rules.refusals import Refusal
from orchestrator.rules.states import StopReason
from orchestrator.rules.values import ZERO, Account, BudgetPeriod, Session
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
        first_block = money.cost_of(joining.price_per_node_hour, joining.nodes, 1, joining.block_seconds)
        return self._used_up(account, now, first_block) or budgets.check_burn_rate(
            account.budgets, self._burning.per_hour(), per_hour, account.currency
        )

    def used(self, account: Account, period: BudgetPeriod, now: datetime) -> Decimal:
        """Return what the account has used in the period that `now` is in."""
        since = budgets.first_day(period, now)
        carried = sum(
            (budgets.carried_into(one, since) for one in account.budgets if one.period is period), ZERO
        )
        spent = self._tx.costs.of_account(account.id, since)
        return max(ZERO, spent - carried + self._burning.uncharged(now))

    def limits(self, account: Account, at: datetime) -> Sequence[FundsLimit]:
        """Return what the budgets with a hard stop leave in the periods of `at`, which have begun."""
        return hard_stop_limits(self._tx, account, at)

    def in_periods_of(self, account: Account, at: datetime) -> Account:
        """Return the account with its hard stops in the periods of `at`. Each period begins with what its sessions had
        used by then: call it before a stop that comes later is applied."""
        while (began := hard_stops.behind_since(account.budgets, at)) is not None:
            running = self._burning.running
            day = began if running else at  # without costs, the periods between are of no interest
            carried = {
                one: self._tx.costs.of_account(account.id, one)
                + hard_stops.used_before(running, budgets.starts_at(one))
                for one in hard_stops.first_days(account.budgets, day)
            }
            account = replace(account, budgets=hard_stops.begun(account.budgets, day, carried))
        return account

    def funds_end(
        self, account: Account, balance: FundsLimit, since: datetime, until: datetime
    ) -> FundsEnd | None:
        """Return the first block from `since` on that the balance, or a budget with a hard stop, cannot pay. Budgets
        are known in the periods that begin by `until`."""
        while True:
            account = self.in_periods_of(account, since)
            end = self._burning.first_end((*self.limits(account, since), balance), since)
            following = hard_stops.next_period(account.budgets, since)
            if following is None or following > until or not self._burning.running:
                return end
            if end is not None and end.at < following:
                return end
            since = following

    def warn(self, limits: Sequence[FundsLimit], now: datetime) -> None:
        """Announce to running sessions that a budget ends them, each with its own instant."""
        ends = hard_stops.ends_to_announce(limits, self._burning.running, now)
        stops = {one.session_id: one for one in ends}
        found = self._tx.sessions.lock_all(stops)
        self._tx.outbox.add(
            [
                events.expiring(session, stops[session.id].at, StopReason.BUDGET_EXHAUSTED, now)
                for session in found.values()
                if session.ends_at is None or session.ends_at > stops[session.id].at
            ]
        )

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

    def _used_up(self, account: Account, now: datetime, first_block: Decimal) -> Refusal | None:
        spent = charged(self._tx, account, now)
        most = self._burning.uncharged_at_most(now)
        refusal = budgets.check_budgets(account.budgets, spent, most, account.currency, first_block)
        if refusal is None:
            return None
        exactly = self._burning.uncharged(now)
        return (
            refusal
            if exactly == most
            else budgets.check_budgets(account.budgets, spent, exactly, account.currency, first_block)
        )


def hard_stop_limits(tx: Transaction, account: Account, at: datetime) -> Sequence[FundsLimit]:
    """Return what the budgets with a hard stop leave in the periods of `at`. Without such a budget nothing is read."""
    stopping = tuple(hard_stops.hard_stops(account.budgets))
    if not stopping:
        return ()
    return hard_stops.limits_of(stopping, charged(tx, replace(account, budgets=stopping), at), at)


def charged(tx: Transaction, account: Account, now: datetime) -> dict[BudgetPeriod, Decimal]:
    """Return what was charged in the period of each budget, without what was carried into it."""
    since = {one: budgets.first_day(one.period, now) for one in account.budgets}
    return {
        one.period: tx.costs.of_account(account.id, day) - budgets.carried_into(one, day)
        for one, day in since.items()
    }
