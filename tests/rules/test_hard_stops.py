"""Budgets with a hard stop: what each leaves in its period, and which of the limits ends the funds first."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.rules import events
from orchestrator.rules.billing import budgets, funds, hard_stops, money
from orchestrator.rules.billing.groups import grouped
from orchestrator.rules.billing.hard_stops import FundsLimit, first_end, limits_of, next_ends, stop_has_come
from orchestrator.rules.billing.money import FundsEnd
from orchestrator.rules.states import Step, StopReason
from orchestrator.rules.values import ZERO, Account, Budget, BudgetPeriod, Policy, Session
from tests.rules.builders import HOUR, MINUTE, SECOND, TICK, a_running_session, a_session

DAY, MONTH = BudgetPeriod.DAY, BudgetPeriod.MONTH
MIDNIGHT = datetime(2026, 2, 1, tzinfo=UTC)
NOON = MIDNIGHT - 12 * HOUR
TODAY, TOMORROW, THIS_MONTH = date(2026, 1, 31), date(2026, 2, 1), date(2026, 1, 1)


def a_budget(period: BudgetPeriod = DAY, amount: str = "10", **changes: Any) -> Budget:
    since = {DAY: TODAY, MONTH: THIS_MONTH}[period]
    known = Budget(period=period, amount=Decimal(amount), hard_stop=True, since=since)
    return replace(known, **changes)


def an_account(*known: Budget) -> Account:
    return Account(
        id="acme", plan="payg", currency="USD", balance=Decimal(100), created_at=NOON, budgets=known
    )


def running(since: datetime = NOON, **changes: Any) -> Session:
    """Return a session that costs 1 a minute."""
    return a_running_session(**{"running_at": since, "running_since": since} | changes)


SOFT = a_budget(hard_stop=False)


def test_only_budgets_with_a_hard_stop_limit_the_funds() -> None:
    known = [SOFT, a_budget(MONTH, "50")]
    limits = limits_of(known, {DAY: Decimal(3), MONTH: Decimal(7)}, NOON)
    assert limits == [FundsLimit(Decimal(43), MONTH, MIDNIGHT)]
    assert hard_stops.next_period([SOFT], NOON) is None
    assert hard_stops.next_period(known, NOON) == MIDNIGHT


@pytest.mark.parametrize(
    ("limits", "end"),
    [
        pytest.param([], None, id="nothing limits"),
        pytest.param([FundsLimit(Decimal(5))], (5, None), id="the balance"),
        pytest.param([FundsLimit(Decimal(3), DAY, MIDNIGHT), FundsLimit(Decimal(5))], (3, DAY), id="the day"),
        pytest.param([FundsLimit(Decimal(6), DAY, MIDNIGHT), FundsLimit(Decimal(5))], (5, None), id="later"),
        pytest.param([FundsLimit(Decimal(5), DAY, MIDNIGHT), FundsLimit(Decimal(5))], (5, DAY), id="both"),
        pytest.param([FundsLimit(Decimal(3), DAY, NOON + 3 * MINUTE)], None, id="its period ends just then"),
        pytest.param([FundsLimit(Decimal(3), DAY, NOON + 3 * MINUTE + TICK)], (3, DAY), id="just after"),
    ],
)
def test_the_funds_end_with_the_first_limit(
    limits: Sequence[FundsLimit], end: tuple[int, BudgetPeriod | None] | None
) -> None:
    one = running()
    expected = None if end is None else FundsEnd(NOON + end[0] * MINUTE, one.id, end[1])
    assert first_end(limits, [one], NOON) == expected


@pytest.mark.parametrize(
    ("limit", "until"),
    [
        pytest.param(FundsLimit(Decimal(3), DAY, MIDNIGHT), True, id="within its period"),
        pytest.param(FundsLimit(Decimal(3), DAY, NOON + MINUTE), False, id="beyond it"),
        pytest.param(FundsLimit(Decimal(3)), True, id="the balance"),
    ],
)
def test_of_many_sessions_a_limit_counts_within_its_period(limit: FundsLimit, *, until: bool) -> None:
    lasts = hard_stops.lasts_until([limit], grouped([running()]), NOON)
    assert (lasts is not None) is until
    assert lasts is None or NOON + MINUTE <= lasts <= NOON + 3 * MINUTE


def test_each_session_has_its_own_end() -> None:
    first, second = running(id="a"), running(NOON + 30 * SECOND, id="b")
    ends = next_ends([FundsLimit(Decimal(10), DAY, MIDNIGHT)], [first, second], NOON + MINUTE, 5)
    assert [(one.session_id, one.at - NOON) for one in ends] == [
        ("a", 5 * MINUTE),
        ("b", 5 * MINUTE + 30 * SECOND),
    ]
    assert next_ends([FundsLimit(Decimal(10))], [first, second], NOON, 1) == [
        FundsEnd(NOON + 5 * MINUTE, "a")
    ]


@pytest.mark.parametrize(
    ("at", "behind"),
    [(NOON, None), (MIDNIGHT - TICK, None), (MIDNIGHT, MIDNIGHT), (MIDNIGHT + HOUR, MIDNIGHT)],
)
def test_a_budget_is_behind_from_the_end_of_its_period_on(at: datetime, behind: datetime | None) -> None:
    assert hard_stops.behind_since([a_budget(MONTH), SOFT], at) == behind
    assert hard_stops.behind_since([SOFT, a_budget(since=None)], at) is None


def test_a_period_begins_with_what_was_used_before_it() -> None:
    known = [replace(SOFT, period=MONTH, since=THIS_MONTH), a_budget(reached=80)]
    later = MIDNIGHT + HOUR
    assert hard_stops.first_days(known, later) == [TOMORROW]
    soft, hard = hard_stops.begun(known, later, {TOMORROW: Decimal(4)})
    assert soft == known[0]
    assert (hard.since, hard.reached, hard.carried) == (TOMORROW, 0, Decimal(4))
    assert hard_stops.begun(known, NOON, {}) == tuple(known)


def test_what_is_carried_is_of_one_period_alone() -> None:
    known = a_budget(carried=Decimal(4))
    assert (budgets.carried_into(known, TODAY), budgets.carried_into(known, TOMORROW)) == (Decimal(4), ZERO)


def test_a_block_that_begins_with_the_period_belongs_to_it() -> None:
    one = running(MIDNIGHT - 5 * MINUTE, charged=Decimal(2))
    assert hard_stops.used_before([one], MIDNIGHT) == 3
    assert money.uncharged(one, MIDNIGHT) == 4


@pytest.mark.parametrize(
    ("at", "carried"),
    [
        pytest.param(MIDNIGHT + MINUTE, 5, id="it ended within the period"),
        pytest.param(MIDNIGHT, 5, id="it ended as the period began"),
        pytest.param(MIDNIGHT - 2 * MINUTE, 3, id="two of its blocks had not begun"),
    ],
)
def test_what_a_session_had_not_used_after_all_is_not_carried(at: datetime, carried: int) -> None:
    known = (SOFT, a_budget(MONTH, since=TOMORROW, carried=Decimal(5)))
    one = running(MIDNIGHT - 10 * MINUTE, charged=Decimal(5))
    assert [b.carried for b in hard_stops.corrected(known, one, at)] == [0, carried]
    later = running(MIDNIGHT, charged=ZERO)
    assert hard_stops.corrected(known, later, MIDNIGHT - MINUTE) == known
    assert hard_stops.corrected(known, a_session(), at) == known
    assert hard_stops.corrected((SOFT,), one, at) == (SOFT,)


def test_what_is_given_back_of_the_period_before_leaves_no_more_where_nothing_was_carried() -> None:
    """All that had been used by midnight was charged before it, and is given back after it."""
    [after] = hard_stops.corrected(
        (a_budget(since=TOMORROW),),
        running(MIDNIGHT - 10 * MINUTE, charged=Decimal(10)),
        MIDNIGHT - 6 * MINUTE,
    )
    assert after.carried == -6
    [limit] = limits_of([after], {DAY: Decimal(-6) - after.carried}, MIDNIGHT + HOUR)
    assert limit.left == after.amount


def test_of_two_ends_at_one_instant_the_block_that_is_paid_first_counts() -> None:
    """The budget pays one of two blocks; the balance does not pay the first, and so both pay the second."""
    dear, cheap = (
        running(id=name, price_per_node_hour=Decimal(price)) for name, price in (("a", 600), ("b", 60))
    )
    limits = FundsLimit(Decimal(21), DAY, MIDNIGHT), FundsLimit(Decimal("16"))
    [first, second] = next_ends(limits, [dear, cheap], NOON, 2)
    assert first == FundsEnd(NOON + MINUTE, "a")
    assert (second.session_id, second.at, second.by) == ("b", NOON + 6 * MINUTE, None)


def test_a_hard_stop_refuses_what_it_could_not_let_begin() -> None:
    spent = {DAY: Decimal("9.50")}
    assert budgets.check_budgets([SOFT], spent, ZERO, "USD", Decimal(1)) is None
    assert budgets.check_budgets([a_budget()], spent, ZERO, "USD", Decimal("0.50")) is None
    refused = budgets.check_budgets([a_budget()], spent, ZERO, "USD", Decimal(1))
    assert refused is not None
    assert refused.message == (
        "the account's budget of 10.00 USD a day cannot pay its first block of 1.00 (9.50 is used by now): wait for"
        " the next day, or raise the budget"
    )


def test_thresholds_wait_until_the_stops_of_the_period_before_were_applied() -> None:
    stands = a_budget(reached=50)
    [same] = budgets.announced([stands], {DAY: Decimal(10)}, ZERO, MIDNIGHT + HOUR)
    assert same == stands
    [ahead] = budgets.announced([a_budget(since=TOMORROW, carried=Decimal(2))], {DAY: ZERO}, ZERO, NOON)
    assert (ahead.since, ahead.carried) == (TOMORROW, ZERO), "a clock that was ahead went back"


def test_a_budget_that_begins_to_stop_sessions_knows_its_period() -> None:
    old = replace(SOFT, since=date(2026, 1, 3), reached=95)
    [put] = budgets.put([old], a_budget(since=None), ZERO, NOON)
    assert (put.since, put.reached, put.carried) == (TODAY, 0, ZERO)
    [same] = budgets.put([a_budget(carried=Decimal(1))], a_budget(amount="5", since=None), ZERO, NOON)
    assert same.carried == 1


def test_the_account_is_looked_at_as_a_period_ends() -> None:
    account = replace(an_account(a_budget()), next_charge_at=MIDNIGHT + HOUR)
    planned = funds.plan_account(account, Policy(), NOON, moving=False)
    assert planned.due is not None
    assert (planned.due.step, planned.due.at) == (Step.FUNDS, MIDNIGHT)
    at_rest = funds.plan_account(an_account(a_budget()), Policy(), NOON, moving=False)
    assert at_rest.due is None, "nothing runs"


def test_a_shortage_of_a_budget_is_another_than_that_of_the_balance() -> None:
    short = replace(an_account(a_budget()), warned_seconds=60)
    by_day = funds.with_funds(short, FundsEnd(NOON + MINUTE, "s", DAY), NOON, runs=True)
    assert (by_day.funds_end_by, by_day.warned_seconds) == (DAY, None)
    warned = replace(by_day, warned_seconds=60)
    moves = funds.with_funds(warned, None, NOON, runs=False)
    assert (moves.funds_end_at, moves.funds_end_by, moves.warned_seconds) == (None, DAY, 60)
    assert funds.with_funds(moves, by_day_again(), NOON, runs=True).warned_seconds == 60
    assert events.of_account(by_day, warned, NOON) == [], "its sessions are warned"


def by_day_again() -> FundsEnd:
    return FundsEnd(NOON + MINUTE, "s", DAY)


def test_a_warning_names_the_end_of_the_budget() -> None:
    warning = events.expiring(running(), NOON + MINUTE, StopReason.BUDGET_EXHAUSTED, NOON)
    announced = {name: warning.data[name] for name in ("stop_at", "stop_at_reason", "seconds_left")}
    assert announced == {
        "stop_at": "2026-01-31T12:01:00Z",
        "stop_at_reason": "budget_exhausted",
        "seconds_left": 60,
    }


SESSIONS = st.lists(
    st.builds(
        lambda began, price, nodes: running(
            NOON + timedelta(seconds=began), price_per_node_hour=price, nodes=nodes
        ),
        st.integers(-3600, 0),
        st.sampled_from([Decimal("0.6"), Decimal(60), Decimal("61.7")]),
        st.integers(1, 3),
    ),
    min_size=1,
    max_size=4,
).map(lambda found: [replace(one, id=f"s{n}") for n, one in enumerate(found)])


@given(SESSIONS, st.integers(0, 4_000_000_000), st.integers(0, 4_000_000_000))
def test_no_block_begins_beyond_a_budget_within_its_period(
    sessions: list[Session], day: int, balance: int
) -> None:
    """Stop one session after the other, as flows do: what all have cost stays within both limits."""
    begun = sum((money.cost_by(one, NOON) for one in sessions), ZERO)
    of_day, funded = (FundsLimit(begun + Decimal(one).scaleb(-6)) for one in (day, balance))
    limits = [replace(of_day, by=DAY, until=MIDNIGHT), funded]
    ends = {one.session_id: one for one in next_ends(limits, sessions, NOON, len(sessions))}
    by_midnight = sum((spent_by(one, ends.get(one.id), MIDNIGHT - TICK) for one in sessions), ZERO)
    assert by_midnight <= min(limits[0].left, limits[1].left)
    for end in ends.values():
        left = [one for one in sessions if one.id not in ends or ends[one.id].at >= end.at]
        gone = sum((spent_by(one, ends[one.id], end.at) for one in sessions if one not in left), ZERO)
        limit = limits[0 if end.by is DAY else 1].left
        assert gone + sum((money.cost_by(one, end.at) for one in left), ZERO) > limit, "the block did not fit"


def spent_by(session: Session, end: FundsEnd | None, at: datetime) -> Decimal:
    if end is not None and end.at <= at:
        return money.cost_if_stopped_at(session, end.at)
    return money.cost_by(session, at)


@pytest.mark.parametrize(
    ("funds_end_at", "budget_of", "earliest_stop", "come"),
    [
        pytest.param(None, None, None, False, id="nothing ends"),
        pytest.param(NOON, None, None, True, id="the funds"),
        pytest.param(None, None, NOON, True, id="a deadline"),
        pytest.param(NOON + HOUR, TODAY, NOON + HOUR, False, id="all of it later"),
        pytest.param(None, TODAY - timedelta(days=1), None, True, id="a budget stands in the day before"),
    ],
)
def test_a_stop_has_come_with_the_first_end(
    funds_end_at: datetime | None, budget_of: date | None, earliest_stop: datetime | None, *, come: bool
) -> None:
    stopping = () if budget_of is None else (a_budget(since=budget_of),)
    assert stop_has_come(funds_end_at, stopping, earliest_stop, NOON) is come


@pytest.mark.parametrize(
    ("compared", "announced"),
    [pytest.param(50_000, ["b", "c", "a"], id="few run"), pytest.param(7, ["b", "c"], id="many run")],
)
def test_the_ends_by_budgets_that_come_first_are_announced(
    compared: int, announced: Sequence[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hard_stops, "MOST_COMPARED", compared)
    sessions = [running(NOON + n * SECOND, id=name) for n, name in enumerate("abc")]
    by_budget, by_balance = FundsLimit(Decimal(10), DAY), FundsLimit(Decimal(10))
    ends = hard_stops.ends_to_announce([by_budget], sessions, NOON + MINUTE)
    assert [one.session_id for one in ends] == announced
    assert hard_stops.ends_to_announce([by_balance], sessions, NOON + MINUTE) == []
