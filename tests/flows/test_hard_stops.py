"""Budgets with a hard stop: sessions stop with the first block that the budget cannot pay, however late that is
decided, and continue where its period ends before."""

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from orchestrator.flows.engine import crowd
from orchestrator.flows.reports.account_view import forecast
from orchestrator.flows.reports.budgets import read_budgets
from orchestrator.flows.reports.explain import explain
from orchestrator.rules.billing import hard_stops
from orchestrator.rules.states import State, StopReason
from orchestrator.rules.values import Plan
from tests.flows.conftest import MakeWorld
from tests.world import HOUR, MINUTE, SECOND, START, World

MIDNIGHT = START + 12 * HOUR
UNBOUNDED = Plan(name="payg", max_concurrent=None, max_sessions=None)
EXHAUSTED = StopReason.BUDGET_EXHAUSTED


def put(world: World, amount: str, period: str = "day", account: str = "acme", **changes: Any) -> Any:
    """Put a budget that stops sessions. Each session costs 0.02 a minute."""
    wanted = {"account_id": account, "period": period, "currency": "USD", "amount": amount, "hard_stop": True}
    return world.done("account.budget", **wanted | changes)["budgets"]


def used(world: World) -> list[str]:
    with world.services.database.reading() as tx:
        return [one["used"] for one in read_budgets(tx, world.account(), world.clock.now)["budgets"]]


def until(world: World, at: datetime) -> None:
    """Let time pass until then, with a worker that does what is due."""
    world.pass_time(at - world.clock.now)


def asleep(world: World, at: datetime) -> None:
    """Let time pass until then, without a worker."""
    world.jump(at - world.clock.now)
    world.settle()


def end_of(world: World, session_id: str) -> tuple[StopReason | None, timedelta, Decimal]:
    """Return why and how long after START the session ended, and what it was charged."""
    session = world.session(session_id)
    assert session.stopped_at is not None, session.state
    return session.stop_reason, session.stopped_at - START, session.charged


def warnings(world: World, session_id: str) -> list[tuple[int, str | None]]:
    with world.services.database.reading() as tx:
        announced = tx.outbox.tail(subject=session_id, limit=1000)
    found = [one.data for one in announced if one.type == "orchestrator.session.expiring"]
    assert all(one["stop_at_reason"] == "budget_exhausted" for one in found)
    return [(one["seconds_left"], one["stop_at"]) for one in found]


def test_a_session_stops_with_the_first_block_that_the_budget_cannot_pay(any_world: MakeWorld) -> None:
    world = any_world()
    [budget] = put(world, "0.40")
    assert (budget["hard_stop"], budget["stops_at"]) == (True, None)
    session_id = world.run_session()
    view = world.view(session_id)
    assert (view["stop_at"], view["stop_at_reason"]) == ("2026-01-01T12:20:00Z", "budget_exhausted")
    with world.services.database.reading() as tx:
        account, now = world.account(), world.clock.now
        rules = explain(tx, world.session(session_id), world.services.policy("alpha"), now)["stops"]
        foreseen = forecast(tx, world.services.config, account, now)
        [budget] = read_budgets(tx, account, now)["budgets"]
    assert rules[0]["reason"] == "budget_exhausted"
    assert rules[0]["detail"] == "the account's budget of the day cannot pay the next block"
    assert (foreseen["funds_end_by"], foreseen["funds_end_session_id"]) == ("day", session_id)
    assert budget["stops_at"] == "2026-01-01T12:20:00Z"
    world.pass_time(21 * MINUTE)
    assert end_of(world, session_id) == (EXHAUSTED, 20 * MINUTE, Decimal("0.40"))
    assert used(world) == ["0.40"]
    assert warnings(world, session_id) == [(one, "2026-01-01T12:20:00Z") for one in (900, 300, 60)]
    assert world.events("acme").count("low_balance") == 0
    assert world.refused("session.create", account_id="acme", model_id="llama") == "budget_exceeded"


def test_a_budget_that_ends_first_gives_way_to_its_next_period(any_world: MakeWorld) -> None:
    world = any_world()
    put(world, "0.20")
    until(world, MIDNIGHT - 5 * MINUTE)
    session_id = world.run_session()
    assert world.view(session_id)["stop_at_reason"] != "budget_exhausted", "the day ends first"
    until(world, MIDNIGHT + 5 * MINUTE)
    assert used(world) == ["0.12"], "the sixth block of the day has begun"
    assert world.view(session_id)["stop_at"] == "2026-01-02T00:10:00Z"
    until(world, MIDNIGHT + 11 * MINUTE)
    assert end_of(world, session_id) == (EXHAUSTED, 12 * HOUR + 10 * MINUTE, Decimal("0.30"))


def test_a_budget_that_is_raised_in_time_stops_later(any_world: MakeWorld) -> None:
    world = any_world()
    put(world, "0.20")
    session_id = world.run_session()
    world.pass_time(9 * MINUTE + 59 * SECOND)
    put(world, "0.30")
    world.pass_time(10 * MINUTE)
    assert end_of(world, session_id) == (EXHAUSTED, 15 * MINUTE, Decimal("0.30"))


@pytest.mark.parametrize("way", ["raised", "taken away", "made soft"])
def test_a_change_that_comes_too_late_brings_no_session_back(world: World, way: str) -> None:
    put(world, "0.20")
    session_id = world.run_session()
    world.jump(12 * MINUTE)
    if way == "taken away":
        world.done("account.budget", account_id="acme", period="day", currency="USD")
    else:
        put(world, "9" if way == "raised" else "0.20", hard_stop=way == "raised")
    world.settle()
    assert end_of(world, session_id) == (EXHAUSTED, 10 * MINUTE, Decimal("0.20"))


def test_a_budget_that_is_made_soft_stops_nothing(world: World) -> None:
    put(world, "0.20")
    session_id = world.run_session()
    [budget] = put(world, "0.20", hard_stop=False)
    assert (budget["hard_stop"], budget["stops_at"]) == (False, None)
    world.pass_time(HOUR)
    assert world.session(session_id).state is State.RUNNING
    assert world.account().funds_end_by is None


def test_a_budget_below_what_is_used_stops_at_once(any_world: MakeWorld) -> None:
    world = any_world()
    put(world, "9")
    both = [world.run_session() for _ in range(2)]
    world.pass_time(10 * MINUTE + 30 * SECOND)
    put(world, "0.10")
    world.settle()
    assert {end_of(world, one)[:2] for one in both} == {(EXHAUSTED, 10 * MINUTE + 30 * SECOND)}


def test_what_was_reached_within_its_period_stands_however_late_it_is_decided(any_world: MakeWorld) -> None:
    world = any_world()
    put(world, "0.20")
    until(world, MIDNIGHT - 15 * MINUTE)
    session_id = world.run_session()
    asleep(world, MIDNIGHT + 50 * MINUTE)
    assert end_of(world, session_id) == (EXHAUSTED, 12 * HOUR - 5 * MINUTE, Decimal("0.20"))
    assert used(world) == ["0.00"], "it is charged on the next day, and was used on the day before"
    following = world.run_session()
    assert world.session(following).state is State.RUNNING


def test_a_worker_that_sleeps_over_the_end_of_a_period_finds_the_end_in_the_next(
    any_world: MakeWorld,
) -> None:
    world = any_world()
    put(world, "0.60")
    until(world, MIDNIGHT - 15 * MINUTE)
    session_id = world.run_session()
    asleep(world, MIDNIGHT + 75 * MINUTE)
    assert end_of(world, session_id) == (EXHAUSTED, 12 * HOUR + 30 * MINUTE, Decimal("0.90"))
    assert used(world) == ["0.60"]


def test_days_of_sleep_are_days_of_the_budget(make_world: MakeWorld) -> None:
    world = make_world(plans={"payg": Plan(name="payg", max_duration_seconds=10 * 86400)})
    world.done("account.credit", account_id="acme", amount="1000", currency="USD", key="days")
    put(world, "29")  # 28.80 a day
    session_id = world.run_session(stop={"max_duration_seconds": 10 * 86400})
    asleep(world, START + 4 * 24 * HOUR)
    assert world.session(session_id).state is State.RUNNING
    assert used(world) == ["14.42"]
    put(world, "15")
    asleep(world, START + 5 * 24 * HOUR)
    assert end_of(world, session_id)[:2] == (EXHAUSTED, 4 * 24 * HOUR + 30 * MINUTE)


def test_what_is_posted_after_midnight_counts_where_it_was_used(world: World) -> None:
    put(world, "9")
    until(world, MIDNIGHT - 90 * MINUTE)
    session_id = world.run_session()
    until(world, MIDNIGHT + 45 * MINUTE)
    assert used(world) == ["0.92"]
    world.done("session.close", session_id=session_id)
    world.settle()
    assert used(world) == ["0.90"]


def test_sessions_that_burn_together_use_the_budget_up_together(any_world: MakeWorld) -> None:
    world = any_world()
    put(world, "0.30")
    first = world.run_session()
    world.pass_time(30 * SECOND)
    second = world.run_session(nodes=2)
    world.pass_time(20 * MINUTE)
    ends = [end_of(world, one) for one in (first, second)]
    assert ends[0] == (EXHAUSTED, 5 * MINUTE, Decimal("0.10"))
    assert ends[1] == (EXHAUSTED, 5 * MINUTE + 30 * SECOND, Decimal("0.20"))
    assert warnings(world, second) == [(300, "2026-01-01T12:05:30Z"), (90, "2026-01-01T12:05:30Z")]


@pytest.mark.parametrize(
    ("balance", "budget", "reason"),
    [
        ("0.40", "0.20", EXHAUSTED),
        ("0.40", "0.60", StopReason.BALANCE_EXHAUSTED),
        ("0.40", "0.40", EXHAUSTED),
    ],
)
def test_of_a_balance_and_a_budget_the_earlier_end_is_the_reason(
    any_world: MakeWorld, balance: str, budget: str, reason: StopReason
) -> None:
    world = any_world()
    world.done("account.put", account_id="poor", plan="contract", currency="USD")
    world.done("account.credit", account_id="poor", amount=balance, currency="USD", key="first")
    put(world, budget, account="poor")
    session_id = world.run_session(account_id="poor")
    world.jump(2 * HOUR)
    world.settle()
    least = min(Decimal(balance), Decimal(budget))
    assert end_of(world, session_id) == (reason, int(least / Decimal("0.02")) * MINUTE, least)


def test_of_several_budgets_the_one_that_ends_first_stops(world: World) -> None:
    put(world, "0.40", "month")
    put(world, "0.20")
    first = world.run_session()
    world.pass_time(HOUR)
    assert end_of(world, first) == (EXHAUSTED, 10 * MINUTE, Decimal("0.20"))
    until(world, MIDNIGHT + 30 * SECOND)
    second = world.run_session()
    world.pass_time(HOUR)
    assert end_of(world, second) == (EXHAUSTED, 12 * HOUR + 10 * MINUTE + 30 * SECOND, Decimal("0.20"))
    assert world.session(second).stop_detail == "the account's budget of the day cannot pay the next block"
    assert world.refused("session.create", account_id="acme", model_id="llama") == "budget_exceeded"


@pytest.mark.parametrize("reason", [EXHAUSTED, StopReason.BALANCE_EXHAUSTED])
def test_stops_of_many_transactions_take_effect_when_the_money_was_used_up(
    any_world: MakeWorld, monkeypatch: pytest.MonkeyPatch, reason: StopReason
) -> None:
    monkeypatch.setattr(crowd, "STOPS_AT_ONCE", 1)
    world = any_world(plans={"payg": UNBOUNDED})
    balance, budget = ("9", "0.60") if reason is EXHAUSTED else ("0.60", "9")
    world.done("account.put", account_id="poor", plan="payg", currency="USD")
    world.done("account.credit", account_id="poor", amount=balance, currency="USD", key="first")
    put(world, budget, account="poor")
    until(world, MIDNIGHT - 15 * MINUTE)
    ids = [world.create_session(account_id="poor") for _ in range(3)]
    world.settle()
    asleep(world, MIDNIGHT + HOUR)
    assert [end_of(world, one) for one in ids] == 3 * [(reason, 12 * HOUR - 5 * MINUTE, Decimal("0.20"))]
    assert not world.ledger("poor", "write_off")


def test_an_idle_end_before_midnight_leaves_the_next_day_as_it_was(world: World) -> None:
    put(world, "0.20")
    until(world, MIDNIGHT - 4 * MINUTE)
    session_id = world.run_session(stop={"idle_seconds": 180})
    until(world, MIDNIGHT + 10 * MINUTE)
    assert end_of(world, session_id)[:2] == (StopReason.IDLE, 12 * HOUR - MINUTE)
    assert used(world) == ["0.00"]
    second = world.run_session()
    world.pass_time(20 * MINUTE)
    assert end_of(world, second) == (EXHAUSTED, 12 * HOUR + 20 * MINUTE, Decimal("0.20"))


def test_many_sessions_are_stopped_as_few_are(make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = World.another_worker
    monkeypatch.setattr(World, "another_worker", lambda world: replace(usual(world), few_sessions=1))
    world = make_world(plans={"payg": UNBOUNDED})
    put(world, "3.00")
    ids = [world.create_session() for _ in range(3)]
    world.settle()
    assert world.account().funds_session_id is None, "its end is far"
    world.pass_time(HOUR)
    assert [end_of(world, one) for one in ids] == 3 * [(EXHAUSTED, 50 * MINUTE, Decimal("1.00"))]
    until(world, MIDNIGHT + MINUTE)
    assert used(world) == ["0.00"]


def test_a_session_whose_first_block_the_budget_cannot_pay_is_refused_or_never_runs(
    make_world: MakeWorld,
) -> None:
    world = make_world(plans={"payg": UNBOUNDED})
    put(world, "0.05")
    world.server.fault("loading", operation="chat", upstream="morph")
    starting = world.create_session(model_id="moral", nodes=2)
    running = world.run_session()
    details = world.job("session.create", account_id="acme", model_id="llama", nodes=2)["error"]
    assert details["code"] == "budget_exceeded"
    assert "cannot pay its first block of 0.04 (0.02 is used by now)" in details["message"]
    world.server.clear_faults()
    world.pass_time(5 * MINUTE)
    session = world.session(starting)
    assert (session.stop_reason, session.charged, session.running_at) == (EXHAUSTED, Decimal(0), None)
    assert session.stop_detail == "the account's budget of the day cannot pay its first block"
    assert end_of(world, running) == (EXHAUSTED, 2 * MINUTE, Decimal("0.04"))


def test_of_very_many_sessions_those_that_end_first_are_warned(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hard_stops, "MOST_COMPARED", 3)
    put(world, "0.32")
    first, second = world.run_session(), world.run_session()
    world.pass_time(7 * MINUTE + 30 * SECOND)
    assert sorted(bool(warnings(world, one)) for one in (first, second)) == [False, True]


def test_a_hard_stop_needs_an_amount(world: World) -> None:
    wanted = {"account_id": "acme", "period": "day", "currency": "USD", "hard_stop": True}
    assert world.refused("account.budget", **wanted) == "invalid_request"
