"""Reports come late: an idle stop keeps its instant, and is decided once the reports that may move it had time to
come."""

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from orchestrator.flows.engine import crowd
from orchestrator.flows.reports.explain import explain
from orchestrator.rules.states import State, Step, StopReason
from orchestrator.rules.values import Policy
from tests.due import step_of
from tests.flows.conftest import MakeWorld
from tests.world import HOUR, MINUTE, SECOND, START, World

pytestmark = pytest.mark.slow

RECORD = "session.record_interactions"


def _at(seconds: float) -> str:
    return (START + timedelta(seconds=seconds)).isoformat()


def _report(world: World, session_id: str, **item: Any) -> None:
    world.done(RECORD, batch=[{"session_id": session_id, "count": 1} | item])


def _ended(world: World, session_id: str) -> tuple[StopReason | None, datetime | None]:
    session = world.session(session_id)
    return session.stop_reason, session.stopped_at


def test_a_late_report_of_use_before_the_stop_moves_it(any_world: MakeWorld) -> None:
    """Idle 60 s, used at 58 s, reported at 61 s."""
    world = any_world()
    session_id = world.run_session(stop={"idle_seconds": 60})
    world.pass_time(61 * SECOND)
    assert world.session(session_id).state is State.RUNNING
    assert world.view(session_id)["stop_at"] == "2026-01-01T12:01:00Z"
    _report(world, session_id, at=_at(58))
    world.pass_time(5 * MINUTE)
    assert _ended(world, session_id) == (StopReason.IDLE, START + 118 * SECOND)


def test_it_is_stopped_after_the_grace_and_pays_for_none_of_it(any_world: MakeWorld) -> None:
    """A block begins in the grace, and the hourly posting charges it."""
    world = any_world(policy=Policy(idle_grace_seconds=90))
    session_id = world.run_session(stop={"idle_seconds": 3535})
    world.pass_time(HOUR + 24 * SECOND)
    session = world.session(session_id)
    assert (session.state, session.charged) == (State.RUNNING, Decimal("1.20"))
    assert world.view(session_id)["cost"] == "1.18"
    world.pass_time(2 * SECOND)
    session = world.session(session_id)
    assert (session.state, session.stop_reason) == (State.STOPPED, StopReason.IDLE)
    assert (session.stopped_at, session.charged) == (START + 3535 * SECOND, Decimal("1.18"))
    assert [entry.amount for entry in world.ledger(kind="reversal")] == [Decimal("0.02")]


@pytest.mark.parametrize(
    ("item", "moves"),
    [
        pytest.param({}, False, id="without an instant"),
        pytest.param({"at": 60}, False, id="at the stop"),
        pytest.param({"at": 65}, False, id="after the stop"),
        pytest.param({"at": 59}, True, id="before the stop"),
        pytest.param({"at": 59, "ok": False}, True, id="what failed is use"),
        pytest.param({"began": 59, "ended": 65}, True, id="it began before the stop"),
        pytest.param({"began": 59}, True, id="under way since before the stop"),
        pytest.param({"began": 61}, False, id="under way since after the stop"),
        pytest.param({"ended": 59}, True, id="ended before the stop"),
        pytest.param({"ended": 65}, False, id="ended after the stop, of unknown beginning"),
    ],
)
@pytest.mark.parametrize("seen_after", [70, 3600])
def test_only_what_is_known_to_lie_before_the_stop_is_proof_of_use(
    world: World, item: dict[str, Any], moves: bool, seen_after: int
) -> None:
    """In time, and after an hour without workers."""
    session_id = world.run_session(stop={"idle_seconds": 60})
    (world.pass_time if seen_after == 70 else world.jump)(seen_after * SECOND)
    timed = {name: _at(value) if name != "ok" else value for name, value in item.items()}
    _report(world, session_id, **timed)
    session = world.session(session_id)
    assert session.interactions == int("began" not in item or "ended" in item), "it counts anyway"
    world.pass_time(HOUR)
    reason, at = _ended(world, session_id)
    assert reason is StopReason.IDLE
    assert at is not None
    assert (at > START + MINUTE) is moves


def test_a_report_in_time_needs_no_instant(world: World) -> None:
    session_id = world.run_session(stop={"idle_seconds": 60})
    world.pass_time(59 * SECOND)
    _report(world, session_id)
    assert world.session(session_id).ends_at == START + 119 * SECOND


def test_a_batch_is_read_in_the_order_of_its_instants(world: World) -> None:
    session_id = world.run_session(stop={"idle_seconds": 60})
    world.pass_time(80 * SECOND)
    batch = [{"session_id": session_id, "count": 1, "at": _at(at)} for at in (75, 20)]
    world.done(RECORD, batch=batch)
    world.pass_time(HOUR)
    assert _ended(world, session_id) == (StopReason.IDLE, START + 135 * SECOND)


@pytest.mark.parametrize("asleep", [False, True])
def test_another_stop_ends_the_grace_and_comes_too_late(world: World, asleep: bool) -> None:
    stop = {"idle_seconds": 60, "max_duration_seconds": 70}
    session_id = world.run_session(stop=stop)
    (world.jump if asleep else world.pass_time)(69 * SECOND)
    world.settle()
    assert world.session(session_id).state is State.RUNNING
    world.pass_time(2 * SECOND)
    assert _ended(world, session_id) == (StopReason.IDLE, START + MINUTE)


def test_who_closes_it_in_its_grace_finds_it_idle(world: World) -> None:
    session_id = world.run_session(stop={"idle_seconds": 60})
    world.pass_time(75 * SECOND)
    closed = world.done("session.close", session_id=session_id)
    assert (closed["stop_reason"], closed["found_state"]) == ("idle", "running")
    assert world.session(session_id).stopped_at == START + MINUTE


def test_one_that_dies_in_its_grace_moves_nowhere(make_world: MakeWorld) -> None:
    policy = Policy(ping_interval_seconds=35, dead_after_failures=1, dead_after_seconds=0)
    world = make_world(policy=policy)
    session_id = world.run_session("pair", failover=True, stop={"idle_seconds": 60})
    world.pass_time(65 * SECOND)
    world.server.fault("dead", upstream="alpha")
    world.pass_time(10 * SECOND)
    assert _ended(world, session_id) == (StopReason.IDLE, START + MINUTE)
    assert world.session(session_id).placements == 1


def test_an_extension_in_the_grace_is_not_too_late(world: World) -> None:
    session_id = world.run_session(stop={"idle_seconds": 60, "max_duration_seconds": 600})
    world.pass_time(70 * SECOND)
    world.done("session.extend", session_id=session_id, max_duration_seconds=1200)
    _report(world, session_id, at=_at(55))
    assert world.session(session_id).ends_at == START + 115 * SECOND


def test_warnings_and_explanations_speak_of_the_idle_end(make_world: MakeWorld) -> None:
    world = make_world(policy=Policy(warn_before_stop_seconds=(20,)))
    session_id = world.run_session(stop={"idle_seconds": 60})
    world.pass_time(39 * SECOND)
    assert "expiring" not in world.events(session_id)
    world.pass_time(2 * SECOND)
    with world.services.database.reading() as tx:
        [warned] = [
            one for one in tx.outbox.tail(subject=session_id, limit=100) if one.type.endswith("expiring")
        ]
    assert warned.data["stop_at"] == "2026-01-01T12:01:00Z"
    world.pass_time(30 * SECOND)
    with world.services.database.reading() as tx:
        session = tx.sessions.get(session_id)
        assert session is not None
        reported = explain(tx, session, world.services.policy("alpha"), tx.now())
    first = reported["stops"][0]
    assert (first["at"], first["decided_at"]) == ("2026-01-01T12:01:00Z", "2026-01-01T12:01:30Z")
    assert not first["overdue"]


def test_the_funds_must_pay_for_the_grace_and_get_it_back(any_world: MakeWorld) -> None:
    """Until it is decided an idle session uses up the funds of its account: it may have been used. The result is the
    same however late that is checked."""
    world, ends = any_world(), []
    for asleep in (False, True):
        account, began = f"poor-{asleep}", world.clock.now
        world.done("account.put", account_id=account, plan="payg", currency="USD")
        world.done("account.credit", account_id=account, amount="0.43", currency="USD", key="1")
        stops: dict[str, dict[str, Any]] = {f"1-{account}": {"idle_seconds": 580}, f"2-{account}": {}}
        ids = [world.run_session(account_id=account, session_id=one, stop=stops[one]) for one in stops]
        (world.jump if asleep else world.pass_time)(30 * MINUTE)
        world.settle()
        world.pass_time(MINUTE)
        found = [world.session(one) for one in ids]
        ends.append([(s.stop_reason, s.stopped_at and s.stopped_at - began, s.charged) for s in found])
        assert world.balance(account) == Decimal("0.43") - found[0].charged - found[1].charged
    idle = (StopReason.IDLE, 580 * SECOND, Decimal("0.20"))
    assert ends == 2 * [[idle, (StopReason.BALANCE_EXHAUSTED, 600 * SECOND, Decimal("0.20"))]]


def test_many_idle_sessions_of_one_account_stop_in_their_turn(
    any_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their idle ends and the instants of these decisions are in different orders."""
    world = any_world()
    monkeypatch.setattr(crowd, "STOPS_AT_ONCE", 2)
    world.done("account.put", account_id="acme", plan="contract", currency="USD")
    stops = [{"idle_seconds": 60 + n} if n % 2 else {"max_duration_seconds": 80 + n} for n in range(8)]
    ids = [world.run_session(stop=stop) for stop in stops]
    world.jump(5 * MINUTE)
    world.settle()
    seconds = [60 + n if n % 2 else 80 + n for n in range(8)]
    assert [world.session(one).stopped_at for one in ids] == [START + n * SECOND for n in seconds]


def test_a_shorter_grace_is_noticed_when_the_old_one_is_over(any_world: MakeWorld) -> None:
    world = any_world(policy=Policy(idle_grace_seconds=300))
    session_id = world.run_session(stop={"idle_seconds": 60})
    assert world.session(session_id).stop_at == START + 6 * MINUTE
    world.pass_time(7 * MINUTE)
    assert _ended(world, session_id) == (StopReason.IDLE, START + MINUTE)


def test_what_an_earlier_release_planned_gets_its_grace(any_world: MakeWorld) -> None:
    """It knows no grace: its rows are due at the idle end."""
    world = any_world()
    session_id = world.run_session(stop={"idle_seconds": 60})

    def forget(tx: Any) -> None:
        before = tx.sessions.lock(session_id)
        planned = replace(before, stop_at=START + MINUTE, idle_ends_at=None)
        tx.sessions.save(before, planned)

    world.services.database.transact(forget)
    world.pass_time(65 * SECOND)
    session = world.session(session_id)
    assert (session.state, session.stop_at) == (State.RUNNING, START + 90 * SECOND)
    assert step_of(session) in {Step.STOP, Step.PING}
    world.pass_time(MINUTE)
    assert _ended(world, session_id) == (StopReason.IDLE, START + MINUTE)
