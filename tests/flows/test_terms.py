"""Terms of a single account: quota beside its plan's, nodes in total, an overdraft."""

from datetime import timedelta
from decimal import Decimal

import pytest

from orchestrator.flows.audit.audit_store import audit_everything
from orchestrator.flows.operations.deliver_events import deliver_events
from orchestrator.rules.states import State, StopReason
from orchestrator.rules.values import Plan, Policy
from tests.flows.conftest import MakeWorld
from tests.world import HOUR, MINUTE, SECOND, START, World

pytestmark = pytest.mark.money

RARELY = Policy(ping_interval_seconds=600)
CREATE = {"account_id": "acme", "model_id": "llama"}
PUT = {"account_id": "acme", "plan": "payg", "currency": "USD"}
CORP = {"account_id": "corp", "plan": "contract", "currency": "USD"}


def test_an_accounts_own_quota_stands_before_its_plans(any_world: MakeWorld) -> None:
    world = any_world()
    shown = world.done("account.put", **PUT, quota={"max_concurrent": 3, "max_nodes": "unlimited"})
    assert shown["own_quota"] == {"max_concurrent": 3, "max_nodes": "unlimited"}
    for _ in range(3):
        world.create_session(nodes=7)
    refusal = world.job("session.create", **CREATE)["error"]
    assert refusal["code"] == "quota_concurrent_exceeded"
    assert "the account's own quota allows 3 at once" in refusal["message"]
    world.settle()


def test_a_put_that_knows_only_the_plan_takes_no_number_away(world: World) -> None:
    world.done("account.put", **PUT, quota={"max_nodes": 9, "max_sessions": "unlimited"}, overdraft_limit="5")
    for known in (PUT, PUT | {"plan": "contract"}):
        put = world.done("account.put", **known)
        assert put["own_quota"] == {"max_nodes": 9, "max_sessions": "unlimited"}
        assert put["overdraft_limit"] == "5.00"
    put = world.done("account.put", **PUT, quota={"max_concurrent": 3})
    assert put["own_quota"] == {"max_nodes": 9, "max_sessions": "unlimited", "max_concurrent": 3}


def test_a_put_gives_back_to_the_plan_what_it_names(world: World) -> None:
    world.done("account.put", **PUT, quota={"max_nodes": 9, "max_concurrent": 3}, overdraft_limit="5")
    put = world.done("account.put", **PUT, quota={"max_nodes": "plan"}, overdraft_limit="plan")
    assert (put["own_quota"], put["overdraft_limit"]) == ({"max_concurrent": 3}, None)
    assert world.refused("session.create", **CREATE, nodes=3) == "quota_nodes_exceeded"


def test_a_put_that_knows_only_the_plan_ends_no_session(world: World) -> None:
    world.done("account.put", **CORP, overdraft_limit="10")
    session_id = world.run_session(account_id="corp")
    world.done("account.put", **CORP)
    world.pass_time(20 * MINUTE)
    assert world.session(session_id).state is State.RUNNING


def test_a_quota_of_zero_lets_nothing_begin(world: World) -> None:
    world.done("account.put", **PUT, quota={"max_sessions": 0})
    assert world.refused("session.create", **CREATE) == "quota_total_exceeded"


def test_a_wrong_quota_is_reported_by_its_place(world: World) -> None:
    for wrong in (-1, True, "none", 2.5):
        refusal = world.job("account.put", **PUT, quota={"max_nodes": wrong})["error"]
        assert refusal["details"]["faults"][0]["loc"] == "quota.max_nodes"
    assert world.refused("account.put", **PUT, quota={"max_node": 1}) == "invalid_request"
    assert world.refused("account.put", **PUT, overdraft_limit="-1") == "invalid_request"


def test_nodes_in_total_are_refused_and_never_queued(any_world: MakeWorld) -> None:
    world = any_world()
    world.done("account.put", **PUT, quota={"max_nodes_total": 3, "max_concurrent": 5})
    first = world.create_session(nodes=2)
    for on_quota in ("reject", "queue"):
        assert world.refused("session.create", **CREATE, nodes=2, on_quota=on_quota) == "quota_nodes_exceeded"
    world.create_session(nodes=1)
    assert world.refused("session.create", **CREATE) == "quota_nodes_exceeded"
    world.settle()
    world.done("session.close", session_id=first)
    world.settle()
    world.create_session(nodes=2)
    world.settle()


def test_a_queued_session_waits_for_nodes_that_others_took_before_its_turn(world: World) -> None:
    world.done("account.put", **PUT, quota={"max_nodes_total": 3, "max_concurrent": 1})
    running = world.run_session()
    first = world.create_session(nodes=2, on_quota="queue")
    world.jump(SECOND)
    second = world.create_session(nodes=2, on_quota="queue")
    world.done("session.close", session_id=running)
    world.settle()
    world.done("account.put", **PUT, quota={"max_nodes_total": 3, "max_concurrent": 9})
    world.settle()
    assert world.session(first).state is State.RUNNING
    assert world.view(second)["queue_reason"] == "quota_nodes_exceeded"
    assert world.refused("session.create", **CREATE) == "queue_ahead", "no newcomer overtakes"
    behind = world.create_session(on_quota="queue")
    world.done("session.close", session_id=first)
    world.settle()
    assert {world.session(one).state for one in (second, behind)} == {State.RUNNING}


def test_behind_one_that_waits_for_funds_no_quota_is_named(world: World) -> None:
    world.done("account.put", account_id="poor", plan="contract", currency="USD")
    poor = {"account_id": "poor", "model_id": "llama"}
    first = world.create_session(account_id="poor", on_quota="queue")
    assert world.session(first).queue_reason == "insufficient_balance"
    world.jump(SECOND)
    assert world.refused("session.create", **poor) == "queue_ahead"
    second = world.create_session(account_id="poor", on_quota="queue")
    assert world.session(second).queue_reason == "queue_ahead"
    world.done("account.credit", account_id="poor", amount="10", currency="USD", key="late")
    world.settle()
    assert {world.session(one).state for one in (first, second)} == {State.RUNNING}


def test_a_queued_session_that_the_terms_exclude_for_good_holds_up_nobody(world: World) -> None:
    world.run_session()
    world.run_session()
    wide = world.create_session(nodes=2, on_quota="queue")
    world.jump(SECOND)
    narrow = world.create_session(on_quota="queue")
    world.done("account.put", **PUT, quota={"max_nodes": 1, "max_concurrent": 3})
    world.settle()
    failed = world.session(wide)
    assert (failed.state, failed.stop_reason) == (State.FAILED, StopReason.START_FAILED)
    assert failed.stop_detail is not None
    assert "the account's own quota allows 1 per session" in failed.stop_detail
    assert world.session(narrow).state is State.RUNNING


def test_more_slots_by_a_put_let_the_queue_in(world: World) -> None:
    world.run_session()
    world.run_session()
    waiting = [world.create_session(on_quota="queue") for _ in range(3)]
    world.done("account.put", **PUT, quota={"max_concurrent": 4})
    world.settle()
    states = [world.session(one).state for one in waiting]
    assert sorted(states) == [State.QUEUED, State.RUNNING, State.RUNNING]
    world.done("account.put", **PUT | {"plan": "contract"}, quota={"max_concurrent": "plan"})
    world.settle()
    assert {world.session(one).state for one in waiting} == {State.RUNNING}


# overdraft


def test_an_overdraft_carries_a_contract_below_zero_to_its_limit(any_world: MakeWorld) -> None:
    world = any_world(policy=RARELY)
    world.done("account.put", **CORP, overdraft_limit="0.50")
    session_id = world.run_session(account_id="corp")
    assert world.view(session_id)["stop_at"] == "2026-01-01T12:25:00Z"
    world.pass_time(HOUR)
    session = world.session(session_id)
    assert (session.stop_reason, session.stopped_at) == (
        StopReason.BALANCE_EXHAUSTED,
        START + 25 * MINUTE,
    )
    assert world.balance("corp") == Decimal("-0.50")
    assert world.ledger("corp", "write_off") == []
    assert world.refused("session.create", account_id="corp", model_id="llama") == "insufficient_balance"
    assert world.events("corp") == [*["low_balance"] * 3, "exhausted"]


def test_a_plans_overdraft_is_for_all_its_accounts(make_world: MakeWorld) -> None:
    plans = {"contract": Plan(name="contract", overdraft_limit=Decimal("0.20"))}
    world = make_world(plans=plans, policy=RARELY)
    world.done("account.put", **CORP)
    world.done("account.put", **CORP | {"account_id": "strict"}, overdraft_limit="0")
    assert world.refused("session.create", account_id="strict", model_id="llama") == "insufficient_balance"
    world.run_session(account_id="corp")
    world.pass_time(HOUR)
    assert world.balance("corp") == Decimal("-0.20")


def test_a_lowered_overdraft_ends_what_it_no_longer_carries_and_forgives_nothing(world: World) -> None:
    world.done("account.put", **CORP, overdraft_limit="10")
    session_id = world.run_session(account_id="corp")
    world.pass_time(20 * MINUTE + SECOND)
    world.done("account.put", **CORP, overdraft_limit="0")
    world.settle()
    assert world.session(session_id).stop_reason is StopReason.BALANCE_EXHAUSTED
    assert world.balance("corp") == Decimal("-0.42")
    deliver_events(world.services, [])
    assert audit_everything(world.services).found == [], "what was allowed then is no finding"
    world.done("account.credit", account_id="corp", amount="0.42", currency="USD", key="paid")


def test_a_raised_overdraft_lets_who_waits_for_funds_in(world: World) -> None:
    world.done("account.put", **CORP)
    waiting = world.create_session(account_id="corp", on_quota="queue")
    assert world.view(waiting)["queue_reason"] == "insufficient_balance"
    world.done("account.put", **CORP, overdraft_limit="1")
    world.settle()
    assert world.session(waiting).state is State.RUNNING


def test_an_account_that_runs_on_its_overdraft_keeps_its_currency(world: World) -> None:
    world.done("account.put", **CORP, overdraft_limit="1")
    world.run_session(account_id="corp")
    assert world.refused("account.put", **CORP | {"currency": "EUR"}) == "currency_mismatch"


def test_funds_end_first_for_one_and_later_for_the_others(world: World) -> None:
    world.done("account.put", **CORP, overdraft_limit="0.45")
    first = world.run_session(account_id="corp")
    world.pass_time(timedelta(seconds=30))
    second = world.run_session(account_id="corp")
    ends = [world.view(one) for one in (first, second)]
    assert [end["stop_at_reason"] for end in ends].count("balance_exhausted") == 1
    world.pass_time(HOUR)
    assert sum(world.session(one).charged for one in (first, second)) <= Decimal("0.45")
    assert world.balance("corp") >= Decimal("-0.45")
