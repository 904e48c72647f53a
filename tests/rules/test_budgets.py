"""Thresholds of a budget, each announced once in a period, and what a budget allows to be admitted."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from orchestrator.rules import events
from orchestrator.rules.billing import budgets
from orchestrator.rules.billing.budgets import announced, left_to_next
from orchestrator.rules.refusals import ErrorCode
from orchestrator.rules.values import ZERO, Account, Budget, BudgetPeriod
from orchestrator.rules.values.budgets import THRESHOLDS, newly_reached

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
DAY, MONTH = BudgetPeriod.DAY, BudgetPeriod.MONTH


def a_budget(period: BudgetPeriod = MONTH, amount: str = "100", **changes: Any) -> Budget:
    return Budget(period=period, amount=Decimal(amount), **changes)


def after(budget: Budget, used: str, now: datetime = NOW) -> Budget:
    [one] = announced([budget], {budget.period: Decimal(used)}, ZERO, now)
    return one


@pytest.mark.parametrize(
    ("used", "reached"),
    [
        ("0", 0),
        ("49.999999", 0),
        ("50", 50),
        ("79.999999", 50),
        ("80", 80),
        ("95", 95),
        ("100", 100),
        ("300", 100),
    ],
)
def test_a_threshold_is_reached_at_its_share(used: str, reached: int) -> None:
    assert after(a_budget(), used).reached == reached


def test_what_is_not_charged_yet_is_used_too() -> None:
    [one] = announced([a_budget()], {MONTH: Decimal(40)}, Decimal(10), NOW)
    assert one.reached == 50


def test_each_threshold_is_new_once_in_a_period() -> None:
    first = after(a_budget(), "85")
    assert list(newly_reached([a_budget()], first)) == [50, 80]
    less = after(first, "10")
    assert (less.reached, list(newly_reached([first], less))) == (80, []), "something was given back"
    more = after(less, "96")
    assert list(newly_reached([less], more)) == [95]
    assert list(newly_reached([], more)) == [50, 80, 95], "a new budget"


@pytest.mark.parametrize(
    ("period", "now", "since"),
    [
        (DAY, NOW, date(2026, 1, 31)),
        (MONTH, NOW, date(2026, 1, 1)),
        (MONTH, NOW + timedelta(hours=12), date(2026, 2, 1)),
        (DAY, NOW + timedelta(hours=12) - timedelta(microseconds=1), date(2026, 1, 31)),
    ],
)
def test_periods_are_calendar_days_and_months(period: BudgetPeriod, now: datetime, since: date) -> None:
    assert budgets.first_day(period, now) == since


@pytest.mark.parametrize(
    ("period", "now", "ends"),
    [
        (DAY, "2026-02-28T23:59:59.999999", "2026-03-01"),
        (DAY, "2026-12-31T00:00:00", "2027-01-01"),
        (MONTH, "2026-02-01T00:00:00", "2026-03-01"),
        (MONTH, "2028-02-29T12:00:00", "2028-03-01"),
        (MONTH, "2026-12-31T23:59:59", "2027-01-01"),
    ],
)
def test_a_period_ends_as_the_next_one_begins(period: BudgetPeriod, now: str, ends: str) -> None:
    at = datetime.fromisoformat(now).replace(tzinfo=UTC)
    assert budgets.ends_at(period, at) == datetime.fromisoformat(ends).replace(tzinfo=UTC)


def test_a_new_period_begins_without_thresholds() -> None:
    old = after(a_budget(), "100")
    new = after(old, "60", NOW + timedelta(days=1))
    assert (new.since, new.reached) == (date(2026, 2, 1), 50)
    assert list(newly_reached([old], new)) == [50]


def test_a_clock_that_is_put_back_over_midnight_announces_nothing_again() -> None:
    midnight = datetime(2026, 2, 1, tzinfo=UTC)
    today = after(a_budget(DAY), "85", midnight)
    back = after(today, "99", midnight - timedelta(minutes=1))
    assert back == today, "the announced period is kept"
    assert budgets.reached_by_now(back, midnight - timedelta(minutes=1)) == 80
    again = after(back, "85", midnight + timedelta(minutes=1))
    assert (list(newly_reached([back], again)), again) == ([], today)
    more = after(again, "95", midnight + timedelta(minutes=2))
    assert list(newly_reached([again], more)) == [95]
    later = after(more, "50", midnight + timedelta(days=1))
    assert (later.since, later.reached) == (date(2026, 2, 2), 50)
    assert budgets.reached_by_now(more, midnight + timedelta(days=1)) == 0
    assert budgets.reached_by_now(a_budget(DAY), midnight) == 0


@pytest.mark.parametrize("used", ["-7", "0"])
def test_what_was_given_back_of_earlier_periods_counts_as_nothing_used(used: str) -> None:
    """A budget of nothing allows nothing, whatever came back; and more may be charged before the next threshold."""
    assert after(a_budget(), used).reached == 0
    assert after(a_budget(amount="0"), used).reached == 100
    refusal = budgets.check_budgets([a_budget(amount="0")], {MONTH: Decimal(used)}, ZERO, "USD")
    assert refusal is not None
    assert (refusal.code, refusal.details["used"]) == (ErrorCode.BUDGET_EXCEEDED, "0.00")
    assert budgets.check_budgets([a_budget()], {MONTH: Decimal(used)}, ZERO, "USD") is None
    assert left_to_next([a_budget()], {MONTH: Decimal(used)}) == 50 - Decimal(used)


def test_the_next_threshold_of_any_budget_is_looked_for() -> None:
    both = [after(a_budget(), "60"), after(a_budget(DAY, "10"), "4")]
    assert left_to_next(both, {MONTH: Decimal(60), DAY: Decimal(4)}) == 1
    assert left_to_next([after(a_budget(), "100")], {MONTH: Decimal(100)}) is None


@pytest.mark.parametrize(("used", "refused"), [("99.999999", False), ("100", True)])
def test_a_start_is_refused_once_a_budget_is_used_up(used: str, *, refused: bool) -> None:
    found = budgets.check_budgets([a_budget()], {MONTH: Decimal(used)}, ZERO, "USD")
    assert (found is not None) is refused
    if found is not None:
        assert (found.code, found.details["period"]) == (ErrorCode.BUDGET_EXCEEDED, "month")


@pytest.mark.parametrize(
    ("limits", "joining", "refused"),
    [
        ((None, None), "9", False),
        (("5", None), "3", False),
        (("5", None), "3.01", True),
        (("5", "4"), "3", True),
    ],
)
def test_a_start_is_refused_beyond_the_lowest_burn_rate(
    limits: tuple[str | None, ...], joining: str, *, refused: bool
) -> None:
    both = [
        a_budget(period, max_burn_per_hour=None if limit is None else Decimal(limit))
        for period, limit in zip((DAY, MONTH), limits, strict=True)
    ]
    found = budgets.check_burn_rate(both, Decimal(2), Decimal(joining), "USD")
    assert (found is not None) is refused
    assert found is None or found.code is ErrorCode.BURN_RATE_EXCEEDED


@pytest.mark.parametrize(
    ("burning", "joining", "remedy"),
    [
        ("2", "3", "close one, or raise the limit"),
        ("0", "6", "allows 4.00 in all: raise the limit, or take a model that costs less"),
        ("2", "6", "allows 4.00 in all: raise the limit, or take a model that costs less"),
    ],
)
def test_a_close_is_advised_only_where_it_makes_room(burning: str, joining: str, remedy: str) -> None:
    limited = [a_budget(max_burn_per_hour=Decimal(4))]
    found = budgets.check_burn_rate(limited, Decimal(burning), Decimal(joining), "USD")
    assert found is not None
    assert found.message.endswith(remedy)


def test_a_changed_budget_keeps_what_was_announced() -> None:
    first = after(a_budget(), "85")
    changed = budgets.put(
        [first, a_budget(DAY)], a_budget(amount="50", max_burn_per_hour=Decimal(1)), Decimal(0), NOW
    )
    assert [(one.period, one.reached) for one in changed] == [(DAY, 0), (MONTH, 80)]
    assert changed[1].since == first.since
    assert [one.period for one in budgets.without(changed, DAY)] == [MONTH]


@pytest.mark.parametrize(("amount", "reached"), [("200", 0), ("170", 50), ("100", 80), ("50", 80)])
def test_thresholds_of_a_higher_amount_are_announced_as_they_are_reached(amount: str, reached: int) -> None:
    [changed] = budgets.put([after(a_budget(), "85")], a_budget(amount=amount), Decimal(85), NOW)
    assert changed.reached == reached


def test_the_events_name_each_threshold() -> None:
    account = Account(
        id="acme", plan="payg", currency="USD", balance=ZERO, created_at=NOW, budgets=(a_budget(),)
    )
    announced = events.of_account(account, replace(account, budgets=(after(a_budget(), "100"),)), NOW)
    assert [one.data["percent"] for one in announced] == list(THRESHOLDS)
    assert {(one.type, one.subject, one.data["since"]) for one in announced} == {
        ("orchestrator.account.budget_reached", "acme", "2026-01-01")
    }
