"""Waiting for a slot, a key or funds: in turn, and for no longer than a tick after it is there."""

from dataclasses import replace
from decimal import Decimal

import pytest

from orchestrator.flows.steps.admit_queued import admit_queued
from orchestrator.flows.steps.wake_queues import wake_queues
from orchestrator.rules.states import State, StopReason
from orchestrator.rules.upstream.alarms import AlarmKind, alarm
from orchestrator.rules.values import Plan, Policy
from tests.due import due_at
from tests.flows.conftest import MakeWorld
from tests.store.stage import statements
from tests.world import HOUR, MINUTE, SECOND, START, World

pytestmark = pytest.mark.money

OPEN_ENDED = {"payg": Plan(name="payg")}


def _account(world: World, name: str, amount: str = "50", plan: str = "contract") -> None:
    world.done("account.put", account_id=name, plan=plan, currency="USD")
    world.done("account.credit", account_id=name, amount=amount, currency="USD", key="1")


def _queued(world: World, model: str = "llama", **kwargs: object) -> str:
    world.jump(SECOND)
    session_id = world.create_session(model, on_quota="queue", **kwargs)
    assert world.session(session_id).state is State.QUEUED
    return session_id


def _is_due(world: World, session_id: str) -> bool:
    return due_at(world.session(session_id)) == world.clock.now


def test_a_close_that_becomes_our_debt_gives_its_slot_at_that_instant(any_world: MakeWorld) -> None:
    world = any_world(policy=Policy(cleanup_debt_after_seconds=300))
    stuck = [world.run_session("moral"), world.run_session("moral")]
    waiting = _queued(world)
    world.server.fault("close_fails", operation="close")
    for session_id in stuck:
        world.done("session.close", session_id=session_id)
    world.pass_time(5 * MINUTE)
    assert world.session(waiting).state is State.QUEUED
    world.pass_time(2 * SECOND)
    assert world.session(waiting).state is State.RUNNING


def test_a_key_that_has_rested_is_taken_at_that_instant(make_world: MakeWorld) -> None:
    world = make_world(morpheus_keys=1, plans=OPEN_ENDED)
    rested = world.clock.now + 90 * SECOND
    world.services.database.transact(lambda tx: tx.credentials.rate_limit("morph", "env:MORPH_1", rested))
    waiting = _queued(world, "moral")
    assert world.view(waiting)["queue_reason"] == "no_capacity"
    world.pass_time(88 * SECOND)
    assert world.session(waiting).state is State.QUEUED
    world.pass_time(2 * SECOND)
    assert world.session(waiting).state is not State.QUEUED
    world.pass_time(4 * SECOND)  # the sessions that waited for the key go one after another
    assert world.session(waiting).state is State.RUNNING


def test_a_lower_price_lets_in_who_waits_for_funds(world: World) -> None:
    _account(world, "poor", "0.10")
    waiting = _queued(world, account_id="poor")
    assert world.view(waiting)["queue_reason"] == "insufficient_balance"
    world.put_model("llama", {"alpha": "llama-3"}, price_per_node_hour="0.60")
    assert _is_due(world, waiting)
    world.settle()
    assert world.session(waiting).state is State.RUNNING


def test_a_new_provider_lets_in_who_waits_for_a_key(make_world: MakeWorld) -> None:
    world = make_world(morpheus_keys=1, plans=OPEN_ENDED)
    world.run_session("moral")
    waiting = _queued(world, "moral")
    world.put_model("moral", {"morph": "moral-1", "alpha": "llama-3"})
    world.settle()
    assert world.session(waiting).provider == "alpha"


def test_the_price_is_that_of_the_admission(any_world: MakeWorld) -> None:
    world = any_world()
    first = world.run_session()
    world.run_session()
    waiting, made = _queued(world), world.create_session(start=False)
    world.put_model("llama", {"alpha": "llama-3"}, price_per_node_hour="6.00")
    world.done("session.close", session_id=first)
    world.settle()
    assert world.session(waiting).price_per_node_hour == Decimal("6.00")
    assert world.session(first).charged == Decimal("0.02")
    world.put_model("llama", {"alpha": "llama-3"}, price_per_node_hour="12.00")
    world.done("session.close", session_id=waiting)
    world.settle()
    assert world.session(waiting).charged == Decimal("0.10")
    world.done("session.start", session_id=made)
    world.settle()
    assert world.view(made)["price_per_node_hour"] == "12.00"
    assert world.placements(made)[0].price_per_node_hour == Decimal("12.00")


def test_a_key_that_its_waker_cannot_use_goes_to_the_next_account(make_world: MakeWorld) -> None:
    world = make_world(morpheus_keys=1, plans=OPEN_ENDED)
    holder = world.run_session("moral")
    _account(world, "broke", "0.30")
    _account(world, "rich")
    first = _queued(world, "moral", account_id="broke")
    assert world.view(first)["queue_reason"] == "no_capacity"
    world.run_session("llama", account_id="broke")
    second = _queued(world, "moral", account_id="rich")
    world.done("session.close", session_id=holder)
    world.pass_time(2 * SECOND)
    assert world.view(first)["queue_reason"] == "insufficient_balance"
    assert world.session(second).state is State.RUNNING


def test_a_freed_key_goes_past_who_waits_for_another(make_world: MakeWorld) -> None:
    world = make_world(morpheus_keys=2, plans=OPEN_ENDED)
    for name in ("first", "second"):
        _account(world, name)
    holders = {
        world.session(one).credential: one for one in (world.run_session("moral"), world.run_session("moral"))
    }
    pinned = _queued(world, "moral", account_id="first", provider="morph", credential="env:MORPH_2")
    waiting = _queued(world, "moral", account_id="second")
    world.done("session.close", session_id=holders["env:MORPH_1"])
    world.pass_time(40 * SECOND)
    assert [world.session(one).state for one in (pinned, waiting)] == [State.QUEUED, State.RUNNING]


def test_many_that_wait_for_a_key_hold_up_nobody_who_waits_for_a_slot(make_world: MakeWorld) -> None:
    plan = Plan(name="payg", max_concurrent=1, queue_timeout_seconds=7200)
    world = make_world(morpheus_keys=1, plans={"payg": plan})
    _account(world, "other")
    world.run_session("moral", account_id="other")
    for _ in range(51):
        _queued(world, "moral")
    runs = world.run_session("llama")
    waiting = _queued(world)
    world.done("session.close", session_id=runs)
    world.settle()
    assert world.session(waiting).state is State.RUNNING


def test_keys_that_come_back_together_are_all_used(make_world: MakeWorld) -> None:
    world = make_world(morpheus_keys=2, plans=OPEN_ENDED)
    for n in (1, 2):
        world.pause("morph", f"env:MORPH_{n}")
    waiting = [_queued(world, "moral") for _ in range(3)]
    world.services.database.transact(lambda tx: tx.credentials.unpause("morph", "env:MORPH_1"))
    world.services.database.transact(lambda tx: tx.credentials.unpause("morph", "env:MORPH_2"))
    now = world.clock.now
    world.services.database.transact(lambda tx: tx.queues.wake_waiting_for_provider("morph", now))
    world.settle()
    states = [world.session(one).state for one in waiting]
    assert states == [State.RUNNING, State.RUNNING, State.QUEUED]


def test_who_was_woken_and_is_closed_leaves_the_key_to_the_next(make_world: MakeWorld) -> None:
    world = make_world(morpheus_keys=1, plans=OPEN_ENDED)
    holder = world.run_session("moral")
    first, second = _queued(world, "moral"), _queued(world, "moral")
    world.done("session.close", session_id=holder, reason="operator", confirm=True)
    world.done("session.close", session_id=first)
    world.settle()
    assert world.session(first).state is State.STOPPED
    assert world.session(second).state is State.RUNNING


def test_a_later_one_does_not_take_the_key_that_an_earlier_one_waits_for(make_world: MakeWorld) -> None:
    world = make_world(morpheus_keys=1, plans={"payg": Plan(name="payg", max_concurrent=2)})
    key = world.run_session("moral")
    for_a_key = _queued(world, "moral")
    slot = world.run_session("llama")
    for_a_slot = _queued(world, "moral")
    world.done("session.close", session_id=slot, reason="operator", confirm=True)
    world.done("session.close", session_id=key, reason="operator", confirm=True)
    world.settle()
    states = [world.session(one).state for one in (for_a_key, for_a_slot)]
    assert states == [State.RUNNING, State.QUEUED]


def test_nobody_in_the_queue_overtakes_who_came_before(world: World) -> None:
    first = world.run_session()
    world.run_session()
    ahead, behind = _queued(world), _queued(world)
    world.services.database.transact(
        lambda tx: tx.sessions.note_attempt(behind, world.clock.now)  # woken out of turn
    )
    world.done("session.close", session_id=first, reason="operator", confirm=True)
    world.settle()
    assert [world.session(one).state for one in (ahead, behind)] == [State.RUNNING, State.QUEUED]


def test_a_model_that_is_withdrawn_ends_the_wait(world: World) -> None:
    world.run_session()
    blocking = world.run_session()
    waiting, next_one = _queued(world), _queued(world, "pair")
    world.put_model("llama", {"alpha": "llama-3"}, learning_stage="Pre-trained")
    world.settle()
    ended = world.session(waiting)
    assert (ended.state, ended.stop_reason) == (State.FAILED, StopReason.START_FAILED)
    assert "learning stage" in (ended.stop_detail or "")
    world.done("session.close", session_id=blocking)
    world.settle()
    assert world.session(next_one).state is State.RUNNING


def test_a_queued_session_can_be_closed_and_be_deleted(world: World) -> None:
    world.run_session()
    world.run_session()
    closed, deleted, last = (_queued(world) for _ in range(3))
    assert [world.view(one)["queue_position"] for one in (closed, deleted, last)] == [1, 2, 3]
    result = world.done("session.close", session_id=closed)
    assert result["state"] == "stopped"
    assert world.view(last)["queue_position"] == 2
    gone = world.done("session.delete", session_id=deleted)
    assert (gone["state"], gone["stop_reason"]) == ("stopped", "user")
    assert gone["deleted_at"] is not None
    assert world.events(deleted) == ["created", "queued", "stopped", "deleted"]
    assert world.view(last)["queue_position"] == 1


def test_a_wait_that_is_too_long_fails_at_its_deadline(world: World) -> None:
    world.run_session()
    world.run_session()
    waiting = _queued(world)
    world.jump(3 * HOUR)
    admit_queued(world.services)
    ended = world.session(waiting)
    assert (ended.state, ended.stop_reason) == (State.FAILED, StopReason.QUEUE_TIMEOUT)
    assert ended.stopped_at == START + HOUR + SECOND
    assert ended.charged == 0
    world.settle()


def _refuse(world: World, model: str, *keys: str) -> None:
    """Let the gateway refuse sessions of this model under these keys for now."""
    for ref in keys:
        refused = alarm(AlarmKind.MODEL_PAUSED, "morph", ref, model, "it said so", world.clock.now)
        world.services.database.transact(lambda tx, one=refused: tx.alarms.raise_(one))  # type: ignore[misc]


KEYS = ("env:MORPH_1", "env:MORPH_2")


@pytest.mark.parametrize("refusing", [KEYS, KEYS[:1]])
def test_one_whose_model_is_refused_by_the_free_keys_holds_up_no_other_model(
    any_world: MakeWorld, refusing: tuple[str, ...]
) -> None:
    world = any_world(plans=OPEN_ENDED)
    world.put_model("other", {"morph": "moral-2"})
    if len(refusing) == 1:  # the key that would take it is in use
        held = world.run_session("other")
        if world.session(held).credential in refusing:
            refusing = tuple(set(KEYS) - set(refusing))
    _refuse(world, "moral", *refusing)
    waiting = _queued(world, "moral")
    assert world.view(waiting)["queue_reason"] == "no_capacity"
    world.jump(SECOND)
    other = world.create_session("other")
    world.settle()
    assert world.session(other).state is State.RUNNING
    assert world.session(other).credential in refusing
    assert world.session(waiting).state is State.QUEUED


def test_a_key_that_is_waited_for_is_left_to_the_one_that_waits(any_world: MakeWorld) -> None:
    world = any_world(plans=OPEN_ENDED)
    world.put_model("other", {"morph": "moral-2"})
    for ref in KEYS:
        world.pause("morph", ref)
    _refuse(world, "moral", KEYS[0])
    waiting = _queued(world, "moral")
    for ref in KEYS:
        world.services.database.transact(lambda tx, one=ref: tx.credentials.unpause("morph", one))  # type: ignore[misc]
    first = world.create_session("other")
    assert world.session(first).credential == KEYS[0]
    assert world.refused("session.create", account_id="acme", model_id="other") == "no_capacity"
    world.wake_queues()
    world.settle()
    assert world.session(waiting).credential == KEYS[1]


def test_a_key_that_becomes_free_wakes_one_that_it_can_serve(any_world: MakeWorld) -> None:
    world = any_world(morpheus_keys=1, plans=OPEN_ENDED)
    world.put_model("other", {"morph": "moral-2"})
    holder = world.run_session("moral")
    refused, fit = _queued(world, "moral"), _queued(world, "other")
    _refuse(world, "moral", KEYS[0])
    world.done("session.close", session_id=holder, reason="operator", confirm=True)
    world.settle()
    assert [world.session(one).state for one in (refused, fit)] == [State.QUEUED, State.RUNNING]


def test_one_may_be_served_where_nobody_waits(world: World) -> None:
    """A session that waits for one provider delays none that another provider serves."""
    for ref in KEYS:
        world.pause("morph", ref)
    waiting = _queued(world, "moral")
    roams = world.run_session("roam")
    assert (world.session(waiting).state, world.session(roams).provider) == (State.QUEUED, "alpha")


def test_the_slow_look_wakes_nobody_for_whom_nothing_has_changed(any_world: MakeWorld) -> None:
    narrow = Plan(name="narrow", max_concurrent=1, queue_timeout_seconds=7200)
    world = any_world(morpheus_keys=1, plans={**OPEN_ENDED, "narrow": narrow})
    world.run_session("moral")
    for n in range(4):
        _account(world, f"a{n}", plan="narrow")
    waiting = [_queued(world, "moral", account_id=f"a{n}") for n in range(4) for _ in range(3)]
    for n in range(4):
        world.create_session("llama", account_id=f"a{n}")
    waiting += [_queued(world, "llama", account_id=f"a{n}") for n in range(4)]
    world.settle()
    with statements(world.services.database) as seen:
        wake_queues(world.services)
    assert not any(_is_due(world, one) for one in waiting)
    assert not [one for one, _ in seen if one.startswith("UPDATE")]


def test_the_slow_look_wakes_one_for_each_key_that_is_free(any_world: MakeWorld) -> None:
    world = any_world(morpheus_keys=3, plans=OPEN_ENDED)
    for n in (1, 2, 3):
        world.pause("morph", f"env:MORPH_{n}")
    for n in range(3):
        _account(world, f"a{n}")
    waiting = [_queued(world, "moral", account_id=f"a{n}") for n in range(3) for _ in range(2)]
    for n in (1, 2):  # without a wake-up
        world.services.database.transact(lambda tx, n=n: tx.credentials.unpause("morph", f"env:MORPH_{n}"))  # type: ignore[misc]
    wake_queues(world.services)
    assert [_is_due(world, one) for one in waiting] == [True, False, True, False, False, False]
    world.settle()
    assert [world.session(one).state for one in waiting].count(State.RUNNING) == 2


def test_the_slow_look_lets_in_whom_a_changed_plan_has_room_for(any_world: MakeWorld) -> None:
    narrow = Plan(name="narrow", max_concurrent=1, queue_timeout_seconds=7200)
    world = any_world(plans={"narrow": narrow})
    for n in range(2):
        _account(world, f"a{n}", plan="narrow")
        world.run_session("llama", account_id=f"a{n}")
    waiting = [_queued(world, "llama", account_id=f"a{n}") for n in range(2) for _ in range(2)]
    world.wake_queues()
    assert {world.session(one).state for one in waiting} == {State.QUEUED}
    config = world.services.config
    plans = {**config.plans, "narrow": replace(narrow, max_concurrent=2)}
    world.services = replace(world.services, config=replace(config, plans=plans))
    world.wake_queues()
    states = [world.session(one).state for one in waiting]
    assert states == [State.RUNNING, State.QUEUED, State.RUNNING, State.QUEUED]


def test_the_slow_look_takes_a_few_accounts_at_a_time_and_passes_over_none(any_world: MakeWorld) -> None:
    narrow = Plan(name="narrow", max_concurrent=1, queue_timeout_seconds=7200)
    world = any_world(plans={"narrow": narrow})
    for n in range(5):
        _account(world, f"a{n}", plan="narrow")
        world.run_session("llama", account_id=f"a{n}")
    waiting = [_queued(world, "llama", account_id=f"a{n}") for n in range(5)]
    plans = {**world.services.config.plans, "narrow": replace(narrow, max_concurrent=2)}
    world.services = replace(world.services, config=replace(world.services.config, plans=plans))
    tally = wake_queues(world.services, limit=2)
    assert tally == 2
    assert sum(_is_due(world, one) for one in waiting) == 2
    for _ in range(20):
        wake_queues(world.services, limit=2)
    assert all(_is_due(world, one) for one in waiting)
