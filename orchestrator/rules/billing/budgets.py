"""Budgets of an account: which thresholds are reached, and what a budget allows to be admitted.

What is used of a budget: what was charged in its period, and what running sessions have used and is not charged yet.
It is below zero where more was given back of earlier periods; thresholds take that as zero."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import assert_never

from orchestrator.rules.refusals import ErrorCode, Refusal
from orchestrator.rules.values import ZERO
from orchestrator.rules.values.amounts import money_text
from orchestrator.rules.values.budgets import THRESHOLDS, Budget, BudgetPeriod

Charged = Mapping[BudgetPeriod, Decimal]
"""What was charged in each of the periods, as they are now, without what was carried into it."""


def first_day(period: BudgetPeriod, now: datetime) -> date:
    """Return the first day of the period that `now` is in."""
    match period:
        case BudgetPeriod.DAY:
            return now.date()
        case BudgetPeriod.MONTH:
            return now.date().replace(day=1)
        case unknown:
            assert_never(unknown)


def starts_at(first: date) -> datetime:
    """Return when a period begins, given its first day."""
    return datetime.combine(first, time(), UTC)


def ends_at(period: BudgetPeriod, now: datetime) -> datetime:
    """Return when the period that `now` is in ends, and the next begins."""
    longest = timedelta(days=1 if period is BudgetPeriod.DAY else 31)
    following = first_day(period, starts_at(first_day(period, now) + longest))
    return starts_at(following)


def carried_into(budget: Budget, since: date) -> Decimal:
    """Return what was carried into the period that began then."""
    return budget.carried if budget.since == since else ZERO


def announced(
    budgets: Sequence[Budget], charged: Charged, uncharged: Decimal, now: datetime
) -> tuple[Budget, ...]:
    """Return the budgets with the thresholds that are reached by now. One that was reached stays so for its period,
    whatever is given back. In a period before that of the last announcement, as after a clock was put back, nothing is
    reached."""
    return tuple(_announced(budget, charged[budget.period] + uncharged, now) for budget in budgets)


def reached_by_now(budget: Budget, now: datetime) -> int:
    """Return the highest threshold that was announced in the period that `now` is in, or in a later one."""
    return budget.reached if _announced_since(budget, first_day(budget.period, now)) else 0


def left_to_next(budgets: Sequence[Budget], charged: Charged) -> Decimal | None:
    """Return how much may be charged before the next threshold is reached; None if all are."""
    left = [
        budget.amount * next_one / 100 - charged[budget.period]
        for budget in budgets
        if (next_one := next((one for one in THRESHOLDS if one > budget.reached), None)) is not None
    ]
    return min(left, default=None)


def check_budgets(
    budgets: Sequence[Budget],
    charged: Charged,
    uncharged: Decimal,
    currency: str,
    first_block: Decimal = ZERO,
) -> Refusal | None:
    """Refuse a start where a budget is used up, or where one with a hard stop cannot pay the session's first block."""
    for budget in budgets:
        used = max(charged[budget.period] + uncharged, ZERO)
        whole, by_now = money_text(budget.amount), money_text(used)
        message = f"the account's budget of {whole} {currency} a {budget.period}"
        if used >= budget.amount:
            message += f" is used up ({by_now} by now)"
        elif budget.hard_stop and used + first_block > budget.amount:
            message += f" cannot pay its first block of {money_text(first_block)} ({by_now} is used by now)"
        else:
            continue
        message += f": wait for the next {budget.period}, or raise the budget"
        details = {"period": budget.period.value, "budget": whole, "used": by_now}
        return Refusal(ErrorCode.BUDGET_EXCEEDED, message, **details, currency=currency)
    return None


def check_burn_rate(
    budgets: Sequence[Budget], burning: Decimal, joining: Decimal, currency: str
) -> Refusal | None:
    """Refuse a session that would make all that start or run cost more an hour than a budget allows."""
    limits = [one.max_burn_per_hour for one in budgets if one.max_burn_per_hour is not None]
    if not limits or burning + joining <= min(limits):
        return None
    limit, now, more = (money_text(amount) for amount in (min(limits), burning, joining))
    running = f"the account's sessions that start or run cost {now} {currency} an hour, this one {more}"
    message = f"{running}, and its budget allows {limit} in all: close one, or raise the limit"
    if joining > min(limits):
        alone = f"this session costs {more} {currency} an hour, and the account's budget allows {limit}"
        message = f"{alone} in all: raise the limit, or take a model that costs less"
    details = {"limit": limit, "burning": now, "joining": more}
    return Refusal(ErrorCode.BURN_RATE_EXCEEDED, message, **details, currency=currency)


def put(budgets: Sequence[Budget], wanted: Budget, used: Decimal, now: datetime) -> tuple[Budget, ...]:
    """Return the budgets with this one in place of that of its period, of which so much is used. Thresholds that were
    announced stay so, but for those that are not reached yet of a higher amount."""
    old = _in_period(next((one for one in budgets if one.period is wanted.period), wanted), now)
    reached = min(old.reached, _reached(wanted, used)) if wanted.amount > old.amount else old.reached
    new = replace(wanted, since=old.since, reached=reached, carried=old.carried)
    return tuple(sorted((*without(budgets, wanted.period), new), key=lambda one: one.period))


def without(budgets: Sequence[Budget], period: BudgetPeriod) -> tuple[Budget, ...]:
    """Return the budgets without that of this period."""
    return tuple(one for one in budgets if one.period is not period)


def _announced(budget: Budget, used: Decimal, now: datetime) -> Budget:
    since = first_day(budget.period, now)
    if (
        budget.since is not None and since < budget.since
    ):  # a clock was put back; what it carried was not used yet
        return replace(budget, carried=ZERO)
    if budget.since is not None and budget.since < since and budget.hard_stop:
        return budget  # stops of the period before are still due
    known = _in_period(budget, now)
    return replace(known, reached=max(known.reached, _reached(budget, used)))


def _in_period(budget: Budget, now: datetime) -> Budget:
    since = first_day(budget.period, now)
    return (
        budget if _announced_since(budget, since) else replace(budget, since=since, reached=0, carried=ZERO)
    )


def _announced_since(budget: Budget, since: date) -> bool:
    return budget.since is not None and budget.since >= since


def _reached(budget: Budget, used: Decimal) -> int:
    return max((one for one in THRESHOLDS if max(used, ZERO) * 100 >= budget.amount * one), default=0)
