"""The next step of an account: one warning for each threshold of a shortage, a charge each hour."""

from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

from orchestrator.rules.billing.funds import (
    POST_EVERY,
    burning,
    charged,
    charged_up_to,
    charging,
    is_far,
    lasting,
    plan_account,
    with_funds,
)
from orchestrator.rules.billing.money import FundsEnd
from orchestrator.rules.states import State, Step
from orchestrator.rules.values import Account, Session
from tests.due import due_at, step_of
from tests.rules.builders import HOUR, MINUTE, POLICY, SECOND, T0, TICK, a_running_session, a_session


def an_account(**changes: Any) -> Account:
    return Account(id="acme", plan="payg", currency="USD", balance=Decimal(0), created_at=T0, **changes)


def test_the_funds_end_with_a_session_and_costs_are_posted_within_the_hour() -> None:
    funded = with_funds(an_account(), FundsEnd(T0 + HOUR, "s"), T0, runs=True)
    assert (funded.funds_end_at, funded.funds_session_id) == (T0 + HOUR, "s")
    assert funded.next_charge_at == T0 + POST_EVERY
    later = with_funds(funded, None, T0 + MINUTE, runs=True)
    assert (later.funds_end_at, later.funds_session_id) == (None, None)
    assert later.next_charge_at == T0 + POST_EVERY
    assert with_funds(later, None, T0, runs=False).next_charge_at is None


def test_an_account_without_anything_running_needs_nothing() -> None:
    assert plan_account(an_account(warned_seconds=60), POLICY, T0, moving=False) == an_account()


@pytest.mark.parametrize(
    ("left", "warned", "then", "step_at"),
    [
        pytest.param(HOUR, None, None, T0 + 45 * MINUTE, id="the first warning is to come"),
        pytest.param(HOUR, 60, None, T0 + 45 * MINUTE, id="the shortage is over, and may come again"),
        pytest.param(15 * MINUTE, None, 900, T0 + 10 * MINUTE, id="the first, and the next one"),
        pytest.param(10 * MINUTE, None, 900, T0 + 5 * MINUTE, id="a shortage from the first"),
        pytest.param(10 * MINUTE, 900, 900, T0 + 5 * MINUTE, id="warned already"),
        pytest.param(2 * MINUTE, 900, 300, T0 + MINUTE, id="a late look warns of the nearest"),
        pytest.param(30 * SECOND, 300, 60, T0 + 30 * SECOND, id="after the last there is the end"),
        pytest.param(10 * MINUTE, 60, 60, T0 + 10 * MINUTE, id="a small credit repeats nothing"),
    ],
)
def test_warnings(left: Any, warned: int | None, then: int | None, step_at: datetime) -> None:
    short = an_account(funds_end_at=T0 + left, funds_session_id="s", warned_seconds=warned)
    planned = plan_account(short, POLICY, T0, moving=False)
    assert (planned.warned_seconds, step_of(planned), due_at(planned)) == (then, Step.FUNDS, step_at)


def test_funds_that_last_name_nobody_who_stops() -> None:
    ended = with_funds(an_account(), FundsEnd(T0 + HOUR, "s"), T0, runs=True)
    lasts = lasting(ended, T0 + 2 * HOUR, T0, runs=True)
    assert (lasts.funds_end_at, lasts.funds_session_id) == (T0 + 2 * HOUR, None)
    assert lasts.next_charge_at == T0 + POST_EVERY
    assert lasting(ended, None, T0, runs=True).funds_end_at is None
    assert lasts.is_grouped
    assert not ended.is_grouped
    assert not lasting(ended, None, T0, runs=True).is_grouped


@pytest.mark.parametrize(
    ("until", "far"),
    [
        pytest.param(None, True, id="for ever"),
        pytest.param(T0 + 15 * MINUTE + TICK, True, id="longer than to the first warning"),
        pytest.param(T0 + 15 * MINUTE, False, id="the first warning is due"),
        pytest.param(T0 - HOUR, False, id="over, perhaps"),
    ],
)
def test_the_end_is_looked_for_before_the_first_warning(until: datetime | None, far: bool) -> None:
    assert is_far(until, POLICY, T0) is far


def test_where_nobody_is_warned_the_end_is_looked_for_when_it_may_have_come() -> None:
    silent = replace(POLICY, warn_before_stop_seconds=())
    assert is_far(T0 + TICK, silent, T0)
    assert not is_far(T0, silent, T0)


def test_an_hourly_posting_goes_on_after_its_last_part() -> None:
    due = an_account(next_charge_at=T0)
    assert charged_up_to(due) == ""
    begun = charging(due, "s7")
    assert charged_up_to(begun) == "s7"
    assert charged_up_to(replace(begun, next_charge_at=T0 + HOUR)) == "", "another hour"
    done = charged(begun, T0)
    assert (done.next_charge_at, charged_up_to(done)) == (T0 + HOUR, "")
    assert charged_up_to(an_account(charging_since=None, charged_up_to="s7")) == ""


@pytest.mark.parametrize("end", [None, T0 + HOUR])
def test_a_shortage_is_not_over_because_somebody_moves(end: datetime | None) -> None:
    short = an_account(funds_end_at=end, warned_seconds=900)
    assert plan_account(short, POLICY, T0, moving=True).warned_seconds == 900
    assert plan_account(short, POLICY, T0, moving=False).warned_seconds is None


@pytest.mark.parametrize(
    ("session", "expected"),
    [
        pytest.param(a_running_session(), State.RUNNING, id="it runs"),
        pytest.param(a_session(state=State.STARTING), None, id="it never ran"),
        pytest.param(a_session(state=State.STARTING, running_at=T0), State.STARTING, id="it moves"),
        pytest.param(a_session(state=State.STOPPED, running_at=T0), None, id="it has stopped"),
    ],
)
def test_who_burns_money(session: Session, expected: State | None) -> None:
    assert burning(session) is expected


def test_without_thresholds_nobody_is_warned() -> None:
    short = an_account(funds_end_at=T0 + MINUTE, warned_seconds=60)
    planned = plan_account(short, replace(POLICY, warn_before_stop_seconds=()), T0, moving=False)
    assert (planned.warned_seconds, due_at(planned)) == (None, T0 + MINUTE)


def test_the_earliest_step_is_the_next() -> None:
    charged = an_account(next_charge_at=T0 + MINUTE, funds_end_at=T0 + HOUR)
    assert step_of(plan_account(charged, POLICY, T0, moving=False)) is Step.CHARGE
