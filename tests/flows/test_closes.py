"""Closes that fail, crash or come late: none is given up silently, and no key is taken before it is free."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from orchestrator.flows.steps.close_due import close_due
from orchestrator.rules.states import State, Step
from orchestrator.rules.values import Plan
from tests.due import due_at
from tests.flows.conftest import MakeWorld
from tests.flows.hands import Hands
from tests.world import HOUR, MINUTE, SECOND, START, World

pytestmark = pytest.mark.slow


def test_a_close_that_fails_is_unproven_until_it_is_proven(world: World) -> None:
    session_id = world.run_session("moral", nodes=2)
    world.server.fault("close_fails", operation="close")
    world.pass_time(10 * MINUTE)
    world.done("session.close", session_id=session_id)
    world.pass_time(30 * MINUTE)
    view = world.view(session_id)
    assert (view["state"], view["cost"]) == ("stopping", "0.40"), "the user pays until the stop only"
    assert view["unproven_since"] == "2026-01-01T12:10:00Z"
    assert view["money_at_risk"] == "1.20"
    [placement] = world.placements(session_id)
    assert "Error closing session" in (placement.last_answer or "")
    world.server.clear_faults()
    world.pass_time(10 * MINUTE)
    view = world.view(session_id)
    assert (view["state"], view["unproven_since"], view["money_at_risk"]) == ("stopped", None, "0.00")
    assert world.events(session_id)[2:] == ["running", "stopping", "unproven", "stopped"]
    assert world.session(session_id).stopped_at == START + 10 * MINUTE


def test_a_close_is_retried_ever_more_slowly_and_for_ever(world: World) -> None:
    session_id = world.run_session("moral")
    world.server.fault("dead", operation="close")
    world.done("session.close", session_id=session_id)
    waits = []
    for _ in range(12):
        before = world.placements(session_id)[0]
        assert before.due is not None
        world.pass_time(before.due.at - world.clock.now)
        after = world.placements(session_id)[0]
        assert after.due is not None
        waits.append((after.due.at - world.clock.now).total_seconds())
    assert waits[:6] == [2, 4, 8, 16, 32, 64]
    assert waits[-3:] == [600, 600, 600]


def test_closes_that_failed_together_do_not_come_back_together(world: World) -> None:
    sessions = [world.run_session("moral") for _ in range(2)]
    world.server.fault("dead", operation="close")
    for session_id in sessions:
        world.done("session.close", session_id=session_id)
    spread = iter([-1.0, 1.0])
    close_due(replace(world.services, jitter=lambda: next(spread)))
    again = sorted(due_at(world.placements(session_id)[0]) or START for session_id in sessions)
    assert again == [START + 1.8 * SECOND, START + 2.2 * SECOND]


def test_a_close_after_the_provider_forgot_the_session_is_proof(world: World) -> None:
    session_id = world.run_session("moral")
    world.server.end_session(world.server.open_sessions()[0].id, "forgotten")
    world.done("session.close", session_id=session_id)
    world.settle()
    [placement] = world.placements(session_id)
    assert placement.proof == "the gateway had no active session"
    assert world.session(session_id).state is State.STOPPED


def test_a_close_that_crashed_is_taken_over_and_the_key_rests(make_world: MakeWorld) -> None:
    world = make_world(morpheus_keys=1)
    session_id = world.run_session("moral")
    world.done("session.close", session_id=session_id)
    crashed = Hands(world.another_worker())
    crashed.act(crashed.claim_one(Step.CLOSE))
    world.pass_time(timedelta(seconds=179))
    assert world.session(session_id).state is State.STOPPING
    world.pass_time(SECOND)
    assert world.session(session_id).state is State.STOPPED
    create = {"account_id": "acme", "model_id": "moral"}
    assert world.refused("session.create", **create) == "no_capacity", "a late close might still arrive"
    world.pass_time(30 * SECOND)
    world.run_session("moral")


def test_a_key_that_was_closed_in_time_needs_no_rest(make_world: MakeWorld) -> None:
    world = make_world(morpheus_keys=1)
    for _ in range(3):
        session_id = world.run_session("moral")
        assert world.refused("session.create", account_id="acme", model_id="moral") == "no_capacity"
        world.done("session.close", session_id=session_id)
        world.pass_time(2 * SECOND)


def test_the_result_of_a_close_whose_lease_was_lost_is_dropped(world: World) -> None:
    session_id = world.run_session("moral")
    world.done("session.close", session_id=session_id)
    slow, other = Hands(world.another_worker()), Hands(world.services)
    late = slow.act(slow.claim_one(Step.CLOSE))
    world.jump(3 * MINUTE)
    closing = other.claim_one(Step.CLOSE)
    slow.settle(late)
    assert world.session(session_id).state is State.STOPPING, "it is for the holder of the lease to say"
    other.settle(other.act(closing))
    assert world.session(session_id).state is State.STOPPED


def test_no_open_is_sent_while_another_call_of_its_key_is_under_way(make_world: MakeWorld) -> None:
    world = make_world(morpheus_keys=1)
    first = world.create_session("moral")
    slow = Hands(world.another_worker())
    claimed = slow.claim_one(Step.OPEN)
    confirm = {"session_id": first, "reason": "operator", "confirm": True}
    result = world.done("session.close", **confirm)
    assert result["state"] == "stopped"
    assert world.refused("session.create", account_id="acme", model_id="moral") == "no_capacity"
    assert world.calls("open") == 0
    world.server.fault("no_bids", operation="open", times=1)
    slow.settle(slow.act_all_the_same(claimed))
    session_id = world.run_session("moral")
    assert world.session(session_id).state is State.RUNNING


def test_a_key_whose_caller_died_rests_before_its_next_session(make_world: MakeWorld) -> None:
    world = make_world(morpheus_keys=1)
    first = world.create_session("moral")
    Hands(world.another_worker()).claim_one(Step.OPEN)
    world.done("session.close", session_id=first, reason="operator", confirm=True)
    world.jump(9 * MINUTE)  # its lease ends now
    assert world.refused("session.create", account_id="acme", model_id="moral") == "no_capacity"
    world.jump(31 * SECOND)
    session_id = world.run_session("moral")
    assert world.session(session_id).state is State.RUNNING


def test_a_confirmation_during_a_close_leaves_the_books_in_order(any_world: MakeWorld) -> None:
    world = any_world()
    closing = world.run_session("moral")
    other = world.run_session(stop={"max_duration_seconds": 600})
    world.done("session.close", session_id=closing)
    slow = Hands(world.another_worker())
    late = slow.act(slow.claim_one(Step.CLOSE))
    world.done("session.close", session_id=closing, reason="operator", confirm=True)
    world.jump(HOUR)
    slow.settle(late)  # it finds the other session's stop due as well
    assert world.session(other).charged == Decimal("0.20")
    assert world.balance() == Decimal("99.80") - world.session(closing).charged
    world.settle()


def test_cleanup_debt_is_ours(make_world: MakeWorld) -> None:
    world = make_world(plans={"payg": Plan(name="payg", max_sessions=2, max_concurrent=1)})
    session_id = world.run_session("moral")
    world.server.fault("close_fails", operation="close")
    world.done("session.close", session_id=session_id)
    create = {"account_id": "acme", "model_id": "llama"}
    world.pass_time(10 * MINUTE - SECOND)
    assert world.refused("session.create", **create) == "quota_concurrent_exceeded"
    world.pass_time(2 * SECOND)
    world.run_session()


def test_a_session_that_waits_for_a_slot_gets_the_one_in_cleanup_debt(world: World) -> None:
    stuck = [world.run_session("moral"), world.run_session("moral")]
    waiting = world.create_session(on_quota="queue")
    world.server.fault("close_fails", operation="close")
    for session_id in stuck:
        world.done("session.close", session_id=session_id)
    world.pass_time(11 * MINUTE)
    world.wake_queues()
    assert world.session(waiting).state is State.RUNNING


@pytest.mark.parametrize("model", ["llama", "moral"])
def test_a_close_waits_until_a_claimed_ping_can_no_longer_begin(world: World, model: str) -> None:
    session_id = world.run_session(model)
    world.jump(30 * SECOND)
    hands = Hands(world.services)
    provider = world.placements(session_id)[0].provider
    pinged = hands.ping(provider)
    world.done("session.close", session_id=session_id)
    [placement] = world.placements(session_id)
    assert due_at(placement) == world.clock.now + timedelta(seconds=1.1)
    world.settle()
    assert world.session(session_id).state is State.STOPPING
    hands.settle(*pinged)
    assert world.session(session_id).state is State.STOPPING, "the stop stands"
    world.pass_time(2 * SECOND)
    assert world.session(session_id).state is State.STOPPED


def test_a_retired_gateway_kills_no_session(world: World) -> None:
    session_id = world.run_session("moral")
    [there] = world.server.open_sessions()
    world.server.add_upstream("morph", "morpheus", world.keys, ["moral-1", "moral-2"], retired=True)
    world.pass_time(5 * MINUTE)
    assert world.session(session_id).state is State.RUNNING
    create = world.create_session("moral")
    world.settle()
    assert "retired" in (world.session(create).stop_detail or "")
    world.done("session.close", session_id=session_id)
    world.pass_time(5 * MINUTE)
    assert "retired" in (world.placements(session_id)[0].last_answer or "")
    world.server.end_session(there.id)
    world.done("session.close", session_id=session_id, reason="operator", confirm=True)
    assert world.session(session_id).state is State.STOPPED
