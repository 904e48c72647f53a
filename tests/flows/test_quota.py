"""Which sessions may start now, which wait, and in which order."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from orchestrator.flows.steps.admit_queued import admit_queued
from orchestrator.rules.states import State
from orchestrator.rules.values import Plan
from tests.due import due_at
from tests.flows.conftest import MakeWorld
from tests.world import HOUR, MINUTE, SECOND, START, World

pytestmark = pytest.mark.money

CREATE = {"account_id": "acme", "model_id": "llama"}


def _queued(world: World, model: str = "llama", **kwargs: object) -> str:
    """Queue one more, a second after the one before."""
    world.jump(SECOND)
    session_id = world.create_session(model, on_quota="queue", **kwargs)
    assert world.session(session_id).state is State.QUEUED
    return session_id


def _states(world: World, *ids: str) -> list[State]:
    return [world.session(session_id).state for session_id in ids]


def test_the_third_at_once_is_refused(any_world: MakeWorld) -> None:
    world = any_world()
    world.run_session()
    world.create_session()
    assert world.refused("session.create", **CREATE) == "quota_concurrent_exceeded"


def test_of_many_creates_at_once_exactly_two_start(any_world: MakeWorld) -> None:
    world = any_world()
    with ThreadPoolExecutor(6) as threads:
        outcomes = list(threads.map(lambda _: world.job("session.create", **CREATE), range(24)))
    refused = [outcome["error"]["code"] for outcome in outcomes if not outcome["ok"]]
    assert refused == ["quota_concurrent_exceeded"] * 22
    world.settle()


def test_a_session_that_is_being_closed_still_holds_its_slot(world: World) -> None:
    first = world.run_session("moral")
    world.run_session()
    world.done("session.close", session_id=first)
    assert world.refused("session.create", **CREATE) == "quota_concurrent_exceeded"
    world.pass_time(2 * SECOND)
    world.run_session()


def test_the_third_is_queued_and_starts_when_a_slot_is_free(any_world: MakeWorld) -> None:
    world = any_world()
    first = world.run_session("moral")
    world.run_session()
    waiting = _queued(world)
    assert world.view(waiting)["queue_position"] == 1
    assert world.view(waiting)["stop_at_reason"] == "queue_timeout"
    world.done("session.close", session_id=first)
    world.pass_time(2 * SECOND)
    assert world.session(waiting).state is State.RUNNING
    assert world.events(waiting) == ["created", "queued", "starting", "running"]


def test_whatever_frees_a_slot_wakes_the_queue_in_its_transaction(world: World) -> None:
    first = world.run_session()
    world.run_session()
    waiting = _queued(world)
    world.done("session.close", session_id=first, reason="operator", confirm=True)
    assert due_at(world.session(waiting)) == world.clock.now
    admit_queued(world.services)
    assert world.session(waiting).state is State.STARTING


def test_the_twenty_first_is_refused_and_never_queued(world: World) -> None:
    for _ in range(20):
        world.create_session(start=False)
    assert world.refused("session.create", **CREATE, start=False) == "quota_total_exceeded"
    assert world.refused("session.create", **CREATE, on_quota="queue") == "quota_total_exceeded"


def test_too_many_nodes_are_refused_and_never_queued(world: World) -> None:
    refusal = world.job("session.create", **CREATE, nodes=3, on_quota="queue")["error"]
    assert (refusal["code"], refusal["details"]["limit"]) == ("quota_nodes_exceeded", 2)
    world.create_session(nodes=2)


def test_a_contract_has_no_quota(world: World) -> None:
    world.done("account.put", account_id="corp", plan="contract", currency="USD")
    world.done("account.credit", account_id="corp", amount="100", currency="USD", key="1")
    ids = [world.create_session(account_id="corp", nodes=5) for _ in range(5)]
    world.settle()
    assert set(_states(world, *ids)) == {State.RUNNING}


def test_newcomers_do_not_overtake_the_queue(world: World) -> None:
    first = world.run_session()
    world.run_session()
    waiting = _queued(world)
    world.done("session.close", session_id=first, reason="operator", confirm=True)
    assert world.refused("session.create", **CREATE) == "queue_ahead"
    newcomer = _queued(world)
    world.settle()
    assert _states(world, waiting, newcomer) == [State.RUNNING, State.QUEUED]


def test_a_newcomer_does_not_take_the_key_that_another_waits_for(make_world: MakeWorld) -> None:
    world = make_world(morpheus_keys=1, plans={"payg": Plan(name="payg")})
    first = world.run_session("moral")
    waiting = _queued(world, "moral")
    world.done("session.close", session_id=first, reason="operator", confirm=True)
    assert world.refused("session.create", account_id="acme", model_id="moral") == "no_capacity"
    world.run_session("llama")
    world.settle()
    assert world.session(waiting).state is State.RUNNING


def test_who_waits_for_another_provider_blocks_nobody(make_world: MakeWorld) -> None:
    world = make_world(morpheus_keys=1, plans={"payg": Plan(name="payg", max_concurrent=3)})
    keyed = world.run_session("moral")
    for_a_key = _queued(world, "moral")
    assert world.session(for_a_key).queue_reason == "no_capacity"
    llama = world.run_session("llama")
    world.run_session("llama")
    for_a_slot = _queued(world, "llama")
    world.done("session.close", session_id=llama)
    world.pass_time(2 * SECOND)
    assert _states(world, for_a_key, for_a_slot) == [State.QUEUED, State.RUNNING]
    world.done("session.close", session_id=keyed)
    world.pass_time(2 * SECOND)
    assert world.session(for_a_key).state is State.RUNNING


def test_a_slot_that_the_first_cannot_use_goes_to_the_next(make_world: MakeWorld) -> None:
    world = make_world(morpheus_keys=1)
    world.run_session("moral")
    llama = world.run_session("llama")
    first, second = _queued(world, "moral"), _queued(world, "llama")
    assert world.session(first).queue_reason == "quota_concurrent_exceeded"
    world.done("session.close", session_id=llama)
    world.pass_time(2 * SECOND)
    assert _states(world, first, second) == [State.QUEUED, State.RUNNING]


def test_a_free_key_wakes_only_who_can_use_it(make_world: MakeWorld) -> None:
    world = make_world(morpheus_keys=1)
    world.put_model("elsewhere", {"beta": "llama-3"})
    holder = world.run_session("moral")
    for account in ("bob", "amy"):
        world.done("account.put", account_id=account, plan="payg", currency="USD")
        world.done("account.credit", account_id=account, amount="9", currency="USD", key="1")
    world.pause("beta", "env:BETA")
    pinned = _queued(world, "elsewhere", account_id="bob")
    waiting = _queued(world, "moral", account_id="amy")
    world.done("session.close", session_id=holder)
    world.pass_time(2 * SECOND)
    assert _states(world, pinned, waiting) == [State.QUEUED, State.RUNNING]


def test_accounts_take_turns_at_the_keys(any_world: MakeWorld) -> None:
    world = any_world(morpheus_keys=1)
    for account in ("amy", "bob"):
        world.done("account.put", account_id=account, plan="contract", currency="USD")
        world.done("account.credit", account_id=account, amount="50", currency="USD", key="1")
    running = world.run_session("moral")
    amys = [_queued(world, "moral", account_id="amy") for _ in range(3)]
    bobs = [_queued(world, "moral", account_id="bob") for _ in range(2)]
    served = []
    for _ in range(5):
        world.done("session.close", session_id=running)
        world.pass_time(2 * SECOND)
        [running] = [one for one in amys + bobs if world.session(one).state is State.RUNNING]
        served.append(running)
    assert served == [amys[0], bobs[0], amys[1], bobs[1], amys[2]]


def test_exclusive_keys_run_out(world: World) -> None:
    world.done("account.put", account_id="corp", plan="contract", currency="USD")
    world.done("account.credit", account_id="corp", amount="50", currency="USD", key="1")
    create = {"account_id": "corp", "model_id": "moral"}
    for _ in world.keys:
        world.run_session("moral", account_id="corp")
    assert world.refused("session.create", **create) == "no_capacity"
    assert len({session.key for session in world.server.open_sessions()}) == 2


def test_funds_that_become_free_wake_the_queue_before_the_close_is_proven(world: World) -> None:
    world.done("account.put", account_id="poor", plan="contract", currency="USD")
    world.done("account.credit", account_id="poor", amount="0.41", currency="USD", key="1")
    first = world.run_session("moral", account_id="poor")
    world.run_session(account_id="poor", stop={"max_duration_seconds": 60})
    world.server.fault("close_fails", operation="close")
    waiting = _queued(world, account_id="poor")
    assert world.session(waiting).queue_reason == "insufficient_balance"
    world.pass_time(2 * MINUTE)
    assert world.session(waiting).state is State.QUEUED
    world.done("session.close", session_id=first)
    world.settle()
    assert _states(world, first, waiting) == [State.STOPPING, State.RUNNING]
    world.server.clear_faults()


def test_a_credit_wakes_who_waits_for_funds(world: World) -> None:
    world.done("account.put", account_id="poor", plan="payg", currency="USD")
    assert world.refused("session.create", account_id="poor", model_id="llama") == "insufficient_balance"
    waiting = _queued(world, account_id="poor")
    world.done("account.credit", account_id="poor", amount="0.20", currency="USD", key="1")
    world.settle()
    assert world.session(waiting).state is State.RUNNING


def test_an_extended_session_keeps_its_turn(world: World) -> None:
    first = world.run_session()
    world.run_session()
    waiting = _queued(world, stop={"max_duration_seconds": 600})
    world.done("session.close", session_id=first, reason="operator", confirm=True)
    world.done("session.extend", session_id=waiting, max_duration_seconds=900)
    world.settle()
    assert world.session(waiting).state is State.RUNNING


def test_a_created_session_may_be_started_later_or_queued(world: World) -> None:
    session_id = world.create_session(start=False)
    world.run_session()
    blocking = world.run_session()
    assert world.refused("session.start", session_id=session_id) == "quota_concurrent_exceeded"
    assert world.session(session_id).state is State.CREATED
    result = world.done("session.start", session_id=session_id, on_quota="queue")
    assert result["state"] == "queued"
    world.done("session.close", session_id=blocking)
    world.settle()
    assert world.session(session_id).state is State.RUNNING
    assert world.refused("session.start", session_id=session_id) == "invalid_state"


def test_a_queue_that_times_out_lets_the_next_one_look(make_world: MakeWorld) -> None:
    world = make_world(plans={"payg": Plan(name="payg", max_concurrent=1, queue_timeout_seconds=600)})
    running = world.run_session(stop={"max_duration_seconds": 900})
    first = _queued(world)
    world.pass_time(5 * MINUTE)
    second = _queued(world)
    world.pass_time(HOUR)
    assert world.session(first).stopped_at == START + timedelta(seconds=601)
    assert _states(world, running, first, second) == [State.STOPPED, State.FAILED, State.RUNNING]
    assert world.session(first).charged == Decimal(0)


def test_limits_bind_as_they_are_when_it_starts(any_world: MakeWorld) -> None:
    world = any_world(plans={"short": Plan(name="short", max_duration_seconds=86400)})
    world.done("account.put", account_id="acme", plan="short", currency="USD")
    session_id = world.create_session("llama", start=False)
    world.put_model("llama", {"alpha": "llama-3"}, max_duration_seconds=900, max_interactions=7)
    world.services = replace(
        world.services,
        config=replace(
            world.services.config,
            plans={**world.services.config.plans, "short": Plan(name="short", max_duration_seconds=600)},
        ),
    )
    world.done("session.start", session_id=session_id)
    session = world.session(session_id)
    limits = (
        session.plan_max_duration_seconds,
        session.model_max_duration_seconds,
        session.model_max_interactions,
    )
    assert limits == (600, 900, 7)
    world.pass_time(11 * MINUTE)
    assert world.session(session_id).stop_reason == "max_duration"
