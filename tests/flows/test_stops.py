"""Every rule stops a session at its own instant, with its own reason, however late the check is."""

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from orchestrator.rules.states import State, StopReason
from orchestrator.rules.values import Plan, Policy
from tests.flows.conftest import MakeWorld
from tests.world import HOUR, MINUTE, SECOND, START, World

Pass = Callable[[World, timedelta], None]


def _awake(world: World, span: timedelta) -> None:
    world.pass_time(span)


def _asleep(world: World, span: timedelta) -> None:
    world.jump(span)
    world.settle()
    world.pass_time(2 * SECOND)


both_ways = pytest.mark.parametrize(
    "let_pass", [pytest.param(_awake, id="in time"), pytest.param(_asleep, id="hours late")]
)


def _ended(world: World, session_id: str) -> tuple[State, StopReason | None, datetime | None, Decimal]:
    session = world.session(session_id)
    return session.state, session.stop_reason, session.stopped_at, session.charged


@both_ways
@pytest.mark.parametrize(
    ("stop", "seconds", "reason", "cost"),
    [
        pytest.param({"max_duration_seconds": 600}, 600, StopReason.MAX_DURATION, "0.20", id="duration"),
        pytest.param({"max_duration_seconds": 601}, 601, StopReason.MAX_DURATION, "0.22", id="and a second"),
        pytest.param({"idle_seconds": 300}, 300, StopReason.IDLE, "0.10", id="idle"),
        pytest.param({"max_cost": "0.05"}, 120, StopReason.MAX_COST, "0.04", id="cost"),
        pytest.param(
            {"max_duration_seconds": 240, "idle_seconds": 180}, 180, StopReason.IDLE, "0.06", id="earliest"
        ),
    ],
)
def test_a_session_stops_on_its_own_terms(
    world: World, let_pass: Pass, stop: dict[str, Any], seconds: int, reason: StopReason, cost: str
) -> None:
    session_id = world.run_session(stop=stop)
    let_pass(world, 3 * HOUR)
    expected = (State.STOPPED, reason, START + timedelta(seconds=seconds), Decimal(cost))
    assert _ended(world, session_id) == expected
    assert world.session(session_id).stop_detail
    assert world.events(session_id)[-2:] == ["stopping", "stopped"]


def test_a_max_cost_that_pays_no_block_starts_nothing(world: World) -> None:
    arguments: dict[str, Any] = {"account_id": "acme", "model_id": "llama", "stop": {"max_cost": "0.019999"}}
    assert world.refused("session.create", **arguments) == "limit_exceeded"
    assert world.refused("session.create", **arguments, on_quota="queue") == "limit_exceeded", (
        "waiting does not help"
    )
    later = world.create_session(stop=arguments["stop"], start=False)
    assert world.refused("session.start", session_id=later) == "limit_exceeded"
    world.put_model("llama", {"alpha": "llama-3"}, price_per_node_hour="1.19")
    world.done("session.start", session_id=later)
    world.pass_time(2 * MINUTE)
    assert _ended(world, later)[1:] == (StopReason.MAX_COST, START + MINUTE, Decimal("0.019833"))


@both_ways
def test_a_session_stops_at_its_models_limit(world: World, let_pass: Pass) -> None:
    world.put_model("short", {"alpha": "llama-3"}, max_duration_seconds=900)
    session_id = world.run_session("short", stop={"max_duration_seconds": 5000})
    let_pass(world, 3 * HOUR)
    expected = (State.STOPPED, StopReason.MODEL_LIMIT, START + 15 * MINUTE, Decimal("0.30"))
    assert _ended(world, session_id) == expected


@both_ways
def test_no_session_outlives_its_plan(make_world: MakeWorld, let_pass: Pass) -> None:
    world = make_world(plans={"payg": Plan(name="payg", max_duration_seconds=1800)})
    session_id = world.run_session()
    let_pass(world, 3 * HOUR)
    expected = (State.STOPPED, StopReason.MAX_DURATION, START + 30 * MINUTE, Decimal("0.60"))
    assert _ended(world, session_id) == expected


@both_ways
def test_a_session_ends_where_its_provider_said_it_would(make_world: MakeWorld, let_pass: Pass) -> None:
    world = make_world()
    session_id = world.run_session("moral", failover=True, stop={"max_duration_seconds": 600})
    world.done("session.extend", session_id=session_id, max_duration_seconds=9000)
    world.change_policy("morph", max_placements=1)  # no candidate is left
    declared = world.session(session_id).declared_end_at
    assert declared == START + timedelta(seconds=1200 + 600 + 300)
    let_pass(world, 3 * HOUR)
    assert _ended(world, session_id) == (
        State.STOPPED,
        StopReason.PROVIDER_ENDED,
        declared,
        Decimal("0.70"),
    )


@both_ways
def test_a_session_stops_when_the_funds_end(world: World, let_pass: Pass) -> None:
    world.done("account.put", account_id="poor", plan="payg", currency="USD")
    world.done("account.credit", account_id="poor", amount="0.25", currency="USD", key="1")
    session_id = world.run_session(account_id="poor")
    let_pass(world, 3 * HOUR)
    expected = (State.STOPPED, StopReason.BALANCE_EXHAUSTED, START + 12 * MINUTE, Decimal("0.24"))
    assert _ended(world, session_id) == expected
    assert world.events("poor")[-1] == "exhausted"
    assert world.balance("poor") == Decimal("0.01")


@both_ways
def test_a_session_that_never_answers_fails(world: World, let_pass: Pass) -> None:
    world.server.fault("dead", operation="chat")
    session_id = world.create_session("moral")
    world.settle()
    let_pass(world, 3 * HOUR)
    assert _ended(world, session_id) == (
        State.FAILED,
        StopReason.START_TIMEOUT,
        START + 20 * MINUTE,
        Decimal(0),
    )
    assert world.events(session_id) == ["created", "starting", "stopping", "failed"]


@both_ways
def test_a_session_does_not_queue_for_ever(make_world: MakeWorld, let_pass: Pass) -> None:
    world = make_world(policy=Policy(ping_interval_seconds=600))
    world.run_session()
    world.run_session()
    session_id = world.create_session(on_quota="queue")
    let_pass(world, 3 * HOUR)
    expected = (State.FAILED, StopReason.QUEUE_TIMEOUT, START + HOUR, Decimal(0))
    assert _ended(world, session_id) == expected
    assert world.events(session_id) == ["created", "queued", "failed"]


def test_activity_pushes_the_idle_stop(world: World) -> None:
    session_id = world.run_session(stop={"idle_seconds": 300})
    for _ in range(3):
        world.pass_time(4 * MINUTE)
        world.done("session.record_interactions", batch=[{"session_id": session_id, "count": 1}])
    assert world.session(session_id).ends_at == START + 17 * MINUTE
    world.pass_time(10 * MINUTE)
    assert world.session(session_id).stopped_at == START + 17 * MINUTE


@pytest.mark.parametrize(("seconds", "reason"), [(599, StopReason.USER), (600, StopReason.MAX_DURATION)])
def test_the_first_stop_that_took_effect_wins(world: World, seconds: int, reason: StopReason) -> None:
    session_id = world.run_session(stop={"max_duration_seconds": 600})
    world.jump(timedelta(seconds=seconds))
    closed = world.done("session.close", session_id=session_id, detail="enough")
    assert closed["stop_reason"] == reason
    assert world.session(session_id).stopped_at == START + timedelta(seconds=seconds)


def test_the_funds_are_worked_out_anew_after_each_stop(any_world: MakeWorld) -> None:
    world = any_world()
    world.done("account.put", account_id="poor", plan="payg", currency="USD")
    world.done("account.credit", account_id="poor", amount="0.50", currency="USD", key="1")
    short = world.run_session(account_id="poor", stop={"max_duration_seconds": 600})
    long = world.run_session(account_id="poor")
    funds_end = world.account("poor").funds_end_at
    assert funds_end == START + 12 * MINUTE
    world.jump(2 * HOUR)
    world.settle()
    assert world.session(short).stopped_at == START + 10 * MINUTE
    assert world.session(long).stopped_at == START + 15 * MINUTE
    assert world.session(long).stop_reason is StopReason.BALANCE_EXHAUSTED
    assert world.balance("poor") == 0


def test_an_extension_comes_too_late_after_the_stop(world: World) -> None:
    session_id = world.run_session(stop={"max_duration_seconds": 600})
    world.jump(10 * MINUTE)
    code = world.refused("session.extend", session_id=session_id, max_duration_seconds=1200)
    assert code == "invalid_state"
    world.settle()
    assert world.session(session_id).stop_reason is StopReason.MAX_DURATION


@pytest.mark.parametrize(("of_model", "longest"), [({}, 86_400), ({"max_duration_seconds": 1800}, 1800)])
def test_a_stop_can_be_moved_until_the_instant_that_events_name(
    world: World, of_model: dict[str, int], longest: int
) -> None:
    world.put_model("bounded", {"alpha": "llama-3"}, **of_model)
    session_id = world.run_session("bounded", stop={"max_duration_seconds": 600})
    session = world.session(session_id)
    assert session.running_at is not None
    assert session.extendable_until == session.running_at + timedelta(seconds=longest)
    code = world.refused("session.extend", session_id=session_id, max_duration_seconds=longest + 1)
    assert code == "limit_exceeded"
    world.done("session.extend", session_id=session_id, max_duration_seconds=longest)
    assert world.session(session_id).extendable_until is None


def test_an_extension_in_time_moves_the_stop(world: World) -> None:
    session_id = world.run_session(stop={"max_duration_seconds": 600})
    world.jump(timedelta(seconds=599))
    world.done("session.extend", session_id=session_id, max_duration_seconds=1200)
    world.pass_time(HOUR)
    assert world.session(session_id).stopped_at == START + 20 * MINUTE


@pytest.mark.parametrize(
    ("used", "longer"),
    [
        pytest.param(10 * MINUTE, {"max_duration_seconds": 60}, id="a duration that is over"),
        pytest.param(10 * MINUTE, {"max_cost": "0.01"}, id="a cost that is spent"),
        pytest.param(MINUTE, {"max_interactions": 5}, id="interactions that were had"),
    ],
)
def test_no_extension_reaches_back(world: World, used: timedelta, longer: dict[str, Any]) -> None:
    session_id = world.run_session()
    world.done("session.record_interactions", batch=[{"session_id": session_id, "count": 7}])
    world.pass_time(used)
    assert world.refused("session.extend", session_id=session_id, **longer) == "invalid_request"
    assert world.session(session_id).state is State.RUNNING
