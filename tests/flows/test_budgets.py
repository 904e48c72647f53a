"""Budgets: thresholds are announced once in a period, and what is used up admits no session."""

from dataclasses import replace
from typing import Any

import pytest

from orchestrator.flows.reports.budgets import read_budgets
from orchestrator.rules.states import State
from orchestrator.rules.values import Plan
from tests.flows.conftest import MakeWorld
from tests.world import HOUR, MINUTE, SECOND, START, World

DAY = 24 * HOUR


def put(world: World, amount: str | None = "0.40", period: str = "day", **changes: Any) -> Any:
    """Put a budget of acme. Its sessions cost 1.20 an hour."""
    wanted = {"account_id": "acme", "period": period, "currency": "USD", "amount": amount} | changes
    return world.done("account.budget", **{name: one for name, one in wanted.items() if one is not None})


def reached(world: World) -> list[int]:
    with world.services.database.reading() as tx:
        announced = tx.outbox.tail(subject="acme", limit=1000)
    return [one.data["percent"] for one in announced if one.type == "orchestrator.account.budget_reached"]


def test_each_threshold_is_announced_as_it_is_reached(any_world: MakeWorld) -> None:
    world = any_world()
    [view] = put(world)["budgets"]
    assert (view["amount"], view["used"], view["left"], view["reached_percent"]) == (
        "0.40",
        "0.00",
        "0.40",
        0,
    )
    world.run_session()
    world.pass_time(8 * MINUTE)
    assert reached(world) == []
    world.pass_time(2 * MINUTE)
    assert reached(world) == [50]
    world.pass_time(10 * MINUTE)
    assert reached(world) == [50, 80, 95, 100]
    world.pass_time(5 * MINUTE)
    assert reached(world) == [50, 80, 95, 100]
    with world.services.database.reading() as tx:
        account = tx.accounts.get("acme")
        assert account is not None
        [view] = read_budgets(tx, account, world.clock.now)["budgets"]
    assert (view["used"], view["left"], view["reached_percent"]) == ("0.52", "0.00", 100)


def test_a_new_day_announces_anew(world: World) -> None:
    put(world, "0.20")
    session_id = world.run_session()
    world.pass_time(10 * MINUTE)
    world.done("session.close", session_id=session_id)
    world.settle()
    assert reached(world) == [50, 80, 95, 100]
    world.jump(DAY)
    world.run_session()
    world.pass_time(6 * MINUTE)
    assert reached(world) == [50, 80, 95, 100, 50]


def test_a_budget_that_is_used_up_admits_no_session_until_the_next_day(world: World) -> None:
    put(world, "0.10")
    session_id = world.run_session()
    world.pass_time(5 * MINUTE)
    refused = world.job("session.create", account_id="acme", model_id="llama")["error"]
    assert (refused["code"], refused["details"]["period"]) == ("budget_exceeded", "day")
    waiting = world.create_session(on_quota="queue")
    assert world.session(waiting).queue_reason == "budget_exceeded"
    world.done("session.close", session_id=session_id)
    world.pass_time(5 * MINUTE)
    assert world.session(waiting).state is State.QUEUED
    put(world, "100")
    world.pass_time(MINUTE)
    assert world.session(waiting).state is State.RUNNING


def test_what_waits_for_a_budget_starts_as_the_next_day_begins(make_world: MakeWorld) -> None:
    world = make_world(plans={"payg": Plan(name="payg", queue_timeout_seconds=2 * 86400)})
    put(world, "0.10")
    session_id = world.run_session()
    world.pass_time(5 * MINUTE)
    waiting = [world.create_session(on_quota="queue") for _ in range(2)]
    world.done("session.close", session_id=session_id)
    world.settle()
    world.jump(
        START + 12 * HOUR - SECOND - world.clock.now
    )  # no slow pass over the queues runs in this world
    world.settle()
    assert {world.session(one).state for one in waiting} == {State.QUEUED}
    world.jump(SECOND)
    world.settle()
    assert {world.session(one).state for one in waiting} == {State.RUNNING}


def test_a_raised_budget_announces_what_is_reached_of_it(world: World) -> None:
    put(world, "0.20")
    world.run_session()
    world.pass_time(10 * MINUTE)
    assert reached(world) == [50, 80, 95, 100]
    put(world, "0.40")
    assert reached(world) == [50, 80, 95, 100]
    world.pass_time(7 * MINUTE)
    assert reached(world) == [50, 80, 95, 100, 80]


def test_a_session_beyond_the_burn_rate_waits_for_another_to_stop(world: World) -> None:
    put(world, "100", "month", max_burn_per_hour="2.00")
    first = world.run_session()
    assert world.refused("session.create", account_id="acme", model_id="llama") == "burn_rate_exceeded"
    waiting = world.create_session(on_quota="queue")
    world.done("session.close", session_id=first)
    world.pass_time(MINUTE)
    assert world.session(waiting).state is State.RUNNING


def test_a_budget_is_changed_and_taken_away(world: World) -> None:
    put(world, "5", "month")
    assert [one["period"] for one in put(world, "1")["budgets"]] == ["day", "month"]
    assert [one["amount"] for one in put(world, "7", "month")["budgets"]] == ["1.00", "7.00"]
    assert [one["period"] for one in put(world, None)["budgets"]] == ["month"]
    assert put(world, None, "month")["budgets"] == []
    assert (
        world.refused("account.budget", account_id="acme", period="day", currency="EUR")
        == "currency_mismatch"
    )
    assert world.refused("account.budget", account_id="no", period="day", currency="EUR") == "unknown_account"
    assert (
        world.refused("account.budget", account_id="acme", period="week", currency="USD") == "invalid_request"
    )
    rate_alone = {"account_id": "acme", "period": "day", "currency": "USD", "max_burn_per_hour": "5"}
    put(world)
    assert world.refused("account.budget", **rate_alone) == "invalid_request"
    with world.services.database.reading() as tx:
        account = tx.accounts.get("acme")
    assert account is not None
    assert account.budgets, "a rate alone takes no budget away"


def test_many_sessions_are_counted_in_groups(make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = World.another_worker
    monkeypatch.setattr(World, "another_worker", lambda world: replace(usual(world), few_sessions=1))
    world = make_world()
    put(world, max_burn_per_hour="2.40")
    world.run_session()
    world.run_session()
    assert world.refused("session.create", account_id="acme", model_id="pair") in {
        "burn_rate_exceeded",
        "quota_concurrent_exceeded",
    }
    world.pass_time(11 * MINUTE)
    assert reached(world) == [50, 80, 95, 100]


def test_many_sessions_with_long_blocks_reach_no_threshold_early(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = World.another_worker
    monkeypatch.setattr(World, "another_worker", lambda world: replace(usual(world), few_sessions=1))
    hourly = Plan(name="payg", billing_block_seconds=3600)
    world = make_world(plans={"payg": hourly})
    for _ in range(3):
        world.run_session()
    put(world, "6.00")
    world.pass_time(50 * MINUTE)  # 3.60 was charged as the first blocks began
    assert reached(world) == [50]
    world.create_session()  # it is not refused
    world.pass_time(15 * MINUTE)
    assert reached(world) == [50, 80, 95, 100]
