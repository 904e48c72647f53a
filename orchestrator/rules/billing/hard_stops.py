"""Budgets with a hard stop: how much each leaves, when it ends, and what of a session belongs to the period before.

A block belongs to the period in which it begins. The ledger dates a charge when it is posted, which may be in the next
period: `Budget.carried` is what had been used before the period began and was charged within it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal

from orchestrator.rules.billing import money
from orchestrator.rules.billing.budgets import Charged, ends_at, first_day, starts_at
from orchestrator.rules.billing.groups import Group, last_until
from orchestrator.rules.billing.meters import Costly
from orchestrator.rules.billing.money import FundsEnd
from orchestrator.rules.values import ZERO, Account, Budget, BudgetPeriod

#: Sessions that are warned at once of the end of a budget: those that it ends first.
MOST_WARNED = 50
#: Where more sessions run than this over MOST_WARNED, fewer are warned: each end is computed from all that run, under
#: the account's lock.
MOST_COMPARED = 50_000


@dataclass(frozen=True, slots=True)
class FundsLimit:
    """How much running sessions may use that is not charged yet."""

    left: Decimal
    by: BudgetPeriod | None = None
    """The budget that allows it; None: the balance."""
    until: datetime | None = None
    """When that budget's period ends, and it allows more; None: never."""


def hard_stops(budgets: Iterable[Budget]) -> Sequence[Budget]:
    """Return the budgets that stop sessions."""
    return [one for one in budgets if one.hard_stop]


def next_period(budgets: Iterable[Budget], at: datetime) -> datetime | None:
    """Return when the first of the budgets with a hard stop begins again after `at`; None if there is none."""
    return min((ends_at(one.period, at) for one in hard_stops(budgets)), default=None)


def behind_since(budgets: Iterable[Budget], at: datetime) -> datetime | None:
    """Return when the first period ended in which a budget with a hard stop still stands; None where all stand in the
    periods of `at`."""
    behind = [(one.period, one.since) for one in hard_stops(budgets) if _is_behind(one, at)]
    return min(
        (ends_at(period, starts_at(since)) for period, since in behind if since is not None), default=None
    )


def stop_has_come(
    funds_end_at: datetime | None, budgets: Iterable[Budget], earliest_stop: datetime | None, now: datetime
) -> bool:
    """Return whether a stop of an account may be due: a deadline of its sessions has passed, its funds have ended, or
    the period of a budget that stops sessions."""
    ends = (funds_end_at, earliest_stop, behind_since(budgets, now))
    return any(end is not None and end <= now for end in ends)


def begun(budgets: Iterable[Budget], at: datetime, carried: Mapping[date, Decimal]) -> tuple[Budget, ...]:
    """Return the budgets with those of a hard stop in the period of `at`. `carried`: of each first day of a period,
    what was used before it and is charged from it on."""
    return tuple(
        _begun(one, at, carried) if one.hard_stop and _is_behind(one, at) else one for one in budgets
    )


def first_days(budgets: Iterable[Budget], at: datetime) -> Sequence[date]:
    """Return the first days of the periods of `at` that budgets with a hard stop have yet to begin."""
    return sorted({first_day(one.period, at) for one in hard_stops(budgets) if _is_behind(one, at)})


def corrected(budgets: tuple[Budget, ...], session: Costly, at: datetime) -> tuple[Budget, ...]:
    """Return the budgets after a running session has stopped with effect at `at`, perhaps before a period began: what
    it was thought to have used between both is not carried."""
    return tuple(_corrected(one, session, at) if one.hard_stop else one for one in budgets)


def limits_of(budgets: Iterable[Budget], charged: Charged, at: datetime) -> Sequence[FundsLimit]:
    """Return what each budget with a hard stop leaves in the period of `at`. `charged`: within it, without what was
    carried into it."""
    return [
        FundsLimit(one.amount - charged[one.period], one.period, ends_at(one.period, at))
        for one in hard_stops(budgets)
    ]


def lasts_until(limits: Iterable[FundsLimit], groups: Sequence[Group], now: datetime) -> datetime | None:
    """Return an instant until which every limit certainly pays, for as long as it holds; None: for ever."""
    untils = [(limit.until, last_until(limit.left, groups, now)) for limit in limits]
    return min((at for over, at in untils if at is not None and (over is None or at < over)), default=None)


def first_end(limits: Iterable[FundsLimit], running: Sequence[Costly], since: datetime) -> FundsEnd | None:
    """Return the first block from `since` on that one of the limits does not pay. Of two at one instant it is the one
    that is paid first, which is that of the lower session id; of two limits that do not pay it, the one named first."""
    ends = [_end(limit, running, since) for limit in limits]
    return min((one for one in ends if one is not None), key=_in_order, default=None)


def next_ends(
    limits: Sequence[FundsLimit], running: Iterable[Costly], since: datetime, at_most: int
) -> Sequence[FundsEnd]:
    """Return the end of one session after the other, as each stops and the others continue; of `at_most` of them."""
    left, found = {one.id: one for one in running}, list[FundsEnd]()
    while len(found) < at_most and (end := first_end(limits, list(left.values()), since)) is not None:
        stopped = left.pop(end.session_id)
        cost = money.cost_if_stopped_at(stopped, end.at) - stopped.charged
        limits = [replace(one, left=one.left - cost) for one in limits]
        found.append(end)
        since = end.at
    return found


def ends_to_announce(
    limits: Sequence[FundsLimit], running: Sequence[Costly], now: datetime
) -> Sequence[FundsEnd]:
    """Return the ends by budgets that come first: MOST_WARNED at most, and fewer where many sessions run."""
    at_most = min(MOST_WARNED, max(1, MOST_COMPARED // max(1, len(running))))
    return [one for one in next_ends(limits, running, now, at_most) if one.by is not None]


def balance_limit(account: Account, overdraft: Decimal) -> FundsLimit:
    """Return what the balance pays."""
    return FundsLimit(account.balance + overdraft)


def used_before(running: Iterable[Costly], at: datetime) -> Decimal:
    """Return what running sessions had used before `at` and is not charged yet: without blocks that begin then."""
    return sum((money.cost_if_stopped_at(one, at) - one.charged for one in running), ZERO)


def _is_behind(budget: Budget, at: datetime) -> bool:
    return budget.since is not None and budget.since < first_day(budget.period, at)


def _begun(budget: Budget, at: datetime, carried: Mapping[date, Decimal]) -> Budget:
    since = first_day(budget.period, at)
    return replace(budget, since=since, reached=0, carried=carried[since])


def _corrected(budget: Budget, session: Costly, at: datetime) -> Budget:
    began = None if budget.since is None else starts_at(budget.since)
    if began is None or at >= began or session.running_since is None or session.running_since >= began:
        return budget
    counted = money.cost_if_stopped_at(session, began) - money.cost_if_stopped_at(session, at)
    return replace(budget, carried=budget.carried - counted)


def _in_order(end: FundsEnd) -> tuple[datetime, str]:
    return end.at, end.session_id


def _end(limit: FundsLimit, running: Sequence[Costly], since: datetime) -> FundsEnd | None:
    end = money.funds_end(limit.left, running, since)
    if end is None or (limit.until is not None and end.at >= limit.until):
        return None
    return replace(end, by=limit.by)
