"""Interactions, as reported by the service that carries the traffic."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event, text

from orchestrator.flows.engine import crowd
from orchestrator.flows.jobs import perform, record_interactions
from orchestrator.rules.states import State, StopReason
from tests.due import token_of
from tests.flows.conftest import MakeWorld
from tests.flows.hands import Hands
from tests.waiting import eventually
from tests.world import HOUR, MINUTE, SECOND, START, World

RECORD = "session.record_interactions"


def test_a_batch_counts_what_it_can_and_lists_the_rest(world: World) -> None:
    running, other = world.run_session(), world.run_session()
    created = world.create_session(start=False)
    batch = [
        {"session_id": running, "count": 3},
        {"session_id": "nobody", "count": 1},
        {"session_id": other, "count": 2, "ok": False},
        {"session_id": created, "count": 1},
        {"session_id": running, "count": 4},
    ]
    outcome = world.done(RECORD, batch=batch)
    assert outcome["accepted"] == 3
    assert [(r["index"], r["session_id"], r["code"]) for r in outcome["rejected"]] == [
        (1, "nobody", "unknown_session"),
        (3, created, "invalid_state"),
    ]
    assert [world.session(one).interactions for one in (running, other, created)] == [7, 2, 0]


def test_a_repeated_batch_counts_once(any_world: MakeWorld) -> None:
    world = any_world()
    session_id = world.run_session()
    batch = [{"session_id": session_id, "count": 3}]
    outcomes = [world.job(RECORD, task_id="again", batch=batch) for _ in range(3)]
    assert outcomes[0] == outcomes[1] == outcomes[2]
    assert world.session(session_id).interactions == 3


def test_nobody_interacts_in_the_future(world: World) -> None:
    session_id = world.run_session(stop={"idle_seconds": 300})
    world.pass_time(MINUTE)
    world.done(RECORD, batch=[{"session_id": session_id, "count": 1, "at": "2030-01-01T00:00:00Z"}])
    session = world.session(session_id)
    assert session.last_interaction_at == world.clock.now
    assert session.ends_at == START + 6 * MINUTE


def test_old_interactions_move_nothing_back(world: World) -> None:
    session_id = world.run_session(stop={"idle_seconds": 300})
    world.pass_time(2 * MINUTE)
    world.done(RECORD, batch=[{"session_id": session_id, "count": 1}])
    world.done(RECORD, batch=[{"session_id": session_id, "count": 1, "at": "2026-01-01T12:01:00Z"}])
    world.done(RECORD, batch=[{"session_id": session_id, "count": 1, "at": "0001-01-01T00:00:00Z"}])
    session = world.session(session_id)
    assert (session.interactions, session.ends_at) == (3, START + 7 * MINUTE)


def test_a_failed_interaction_is_activity_but_no_sign_of_life(world: World) -> None:
    session_id = world.run_session(stop={"idle_seconds": 300})
    world.pass_time(2 * MINUTE)
    alive = world.session(session_id).last_alive_at
    world.jump(10 * SECOND)
    world.done(RECORD, batch=[{"session_id": session_id, "count": 1, "ok": False}])
    session = world.session(session_id)
    assert (session.last_alive_at, session.interactions) == (alive, 1)
    assert session.ends_at == START + 7 * MINUTE + 10 * SECOND


def test_a_success_ends_the_doubts(world: World) -> None:
    session_id = world.run_session()
    world.server.fault("dead", operation="chat")
    world.pass_time(40 * SECOND)
    assert world.session(session_id).failures == 4
    world.done(RECORD, batch=[{"session_id": session_id, "count": 1}])
    assert world.session(session_id).failures == 0
    assert world.events(session_id)[-2:] == ["suspect", "recovered"]


def test_a_success_of_the_time_before_proves_nothing(world: World) -> None:
    session_id = world.run_session()
    world.pass_time(29 * SECOND)
    world.server.fault("dead", operation="chat")
    world.pass_time(11 * SECOND)
    batch = [{"session_id": session_id, "count": 1, "at": "2026-01-01T12:00:20Z"}]
    world.done(RECORD, batch=batch)
    assert world.session(session_id).failures == 4


def test_the_limit_takes_effect_when_it_is_reached(world: World) -> None:
    session_id = world.run_session(stop={"max_interactions": 10})
    world.pass_time(MINUTE)
    world.done(RECORD, batch=[{"session_id": session_id, "count": 9}])
    assert world.session(session_id).state is State.RUNNING
    world.jump(30 * SECOND)
    world.done(RECORD, batch=[{"session_id": session_id, "count": 5}])
    session = world.session(session_id)
    assert (session.state, session.stop_reason) == (State.STOPPING, StopReason.MAX_INTERACTIONS)
    assert (session.interactions, session.stopped_at) == (14, START + 90 * SECOND)
    assert "14 interactions" in (session.stop_detail or "")
    world.settle()


def test_the_models_limit_binds_as_well(world: World) -> None:
    world.put_model("shy", {"alpha": "llama-3"}, max_interactions=5)
    session_id = world.run_session("shy", stop={"max_interactions": 50})
    world.done(RECORD, batch=[{"session_id": session_id, "count": 5}])
    assert world.session(session_id).stop_reason is StopReason.MODEL_LIMIT
    world.settle()


def test_an_extended_limit_is_reached_anew(world: World) -> None:
    session_id = world.run_session(stop={"max_interactions": 10})
    world.done(RECORD, batch=[{"session_id": session_id, "count": 9}])
    world.done("session.extend", session_id=session_id, max_interactions=20)
    world.done(RECORD, batch=[{"session_id": session_id, "count": 9}])
    assert world.session(session_id).state is State.RUNNING
    world.done(RECORD, batch=[{"session_id": session_id, "count": 2}])
    assert world.session(session_id).stop_reason is StopReason.MAX_INTERACTIONS
    world.settle()


def test_a_limit_reached_during_a_ping_stands(world: World) -> None:
    session_id = world.run_session("moral", stop={"max_interactions": 10})
    world.jump(30 * SECOND)
    hands = Hands(world.services)
    pinged = hands.ping("morph")
    world.done(RECORD, batch=[{"session_id": session_id, "count": 10}])
    hands.settle(*pinged)
    session = world.session(session_id)
    assert (session.state, session.stop_reason) == (State.STOPPING, StopReason.MAX_INTERACTIONS)
    world.pass_time(2 * SECOND)
    assert world.session(session_id).state is State.STOPPED


def test_interactions_during_a_ping_survive_its_settlement(world: World) -> None:
    session_id = world.run_session(stop={"idle_seconds": 300})
    world.jump(30 * SECOND)
    hands = Hands(world.services)
    pinged = hands.ping("alpha")
    world.done(RECORD, batch=[{"session_id": session_id, "count": 10}])
    hands.settle(*pinged)
    session = world.session(session_id)
    assert (session.interactions, session.ends_at) == (10, START + 330 * SECOND)
    assert (token_of(session), session.ping_at) == (None, START + MINUTE)


def test_a_session_that_is_over_only_counts(world: World) -> None:
    session_id = world.run_session("moral", stop={"max_interactions": 10})
    world.server.fault("close_fails", operation="close")
    world.done("session.close", session_id=session_id)
    world.done(RECORD, batch=[{"session_id": session_id, "count": 20}])
    session = world.session(session_id)
    assert (session.interactions, session.stop_reason) == (20, StopReason.USER)
    world.server.clear_faults()
    world.pass_time(MINUTE)
    world.done(RECORD, batch=[{"session_id": session_id, "count": 1}])
    assert world.session(session_id).interactions == 21
    world.done("session.delete", session_id=session_id)
    [rejected] = world.done(RECORD, batch=[{"session_id": session_id, "count": 1}])["rejected"]
    assert rejected["code"] == "unknown_session"


def test_buffered_activity_is_heard_before_the_idle_stop(world: World) -> None:
    session_id = world.run_session(stop={"idle_seconds": 300})
    world.jump(timedelta(seconds=310))
    batch = [{"session_id": session_id, "count": 1, "at": "2026-01-01T12:04:00Z"}]
    world.done(RECORD, batch=batch)
    assert world.session(session_id).state is State.RUNNING
    assert world.session(session_id).ends_at == START + 9 * MINUTE


def test_a_batch_touches_many_accounts(any_world: MakeWorld) -> None:
    world = any_world()
    ids = []
    for account in ("zoe", "bob", "amy"):
        world.done("account.put", account_id=account, plan="payg", currency="USD")
        world.done("account.credit", account_id=account, amount="5", currency="USD", key="1")
        ids.append(world.run_session(account_id=account, stop={"max_duration_seconds": 600}))
    world.jump(HOUR)
    batch = [{"session_id": session_id, "count": n} for n, session_id in enumerate(ids, 1)]
    result = world.done(RECORD, batch=batch)
    assert result["accepted"] == 3
    assert [world.session(one).interactions for one in ids] == [1, 2, 3]
    assert {world.session(one).stop_reason for one in ids} == {StopReason.MAX_DURATION}
    world.settle()


@pytest.fixture
def one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each account of a batch be held by somebody at first, as it were."""
    monkeypatch.setattr(perform, "record_together", lambda *_: {})


def _of_three_accounts(world: World) -> tuple[list[str], list[dict[str, Any]]]:
    ids = []
    for account in ("amy", "bob", "zoe"):
        world.done("account.put", account_id=account, plan="payg", currency="USD")
        world.done("account.credit", account_id=account, amount="5", currency="USD", key="1")
        ids.append(world.run_session(account_id=account))
    batch = [{"session_id": one, "count": 1} for one in (ids[2], "nobody", ids[0], ids[1], ids[2])]
    return ids, batch


@pytest.mark.usefixtures("one_by_one")
def test_a_batch_that_breaks_off_counts_each_account_once(
    any_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = any_world()
    ids, batch = _of_three_accounts(world)
    real = record_interactions.record_of
    for fails_at in ("bob", "zoe"):

        def breaks_off(*given: Any, at: str = fails_at) -> Any:
            if given[3] == at:
                raise RuntimeError("the worker dies here")
            return real(*given)

        for module in (perform, record_interactions):
            monkeypatch.setattr(module, "record_of", breaks_off)
        with pytest.raises(RuntimeError):
            world.job(RECORD, task_id="once", batch=batch)
    assert [world.session(one).interactions for one in ids] == [1, 1, 0]
    for module in (perform, record_interactions):
        monkeypatch.setattr(module, "record_of", real)
    outcome = world.job(RECORD, task_id="once", batch=batch[:2])
    assert outcome["error"]["code"] == "conflict"
    outcomes = [world.job(RECORD, task_id="once", batch=batch) for _ in range(2)]
    assert outcomes[0] == outcomes[1]
    assert outcomes[0]["result"]["accepted"] == 4
    assert [one["index"] for one in outcomes[0]["result"]["rejected"]] == [1]
    assert [world.session(one).interactions for one in ids] == [1, 1, 2]


@pytest.mark.usefixtures("one_by_one")
def test_a_batch_that_is_given_up_says_that_a_part_was_counted(
    any_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = any_world()
    ids, batch = _of_three_accounts(world)
    monkeypatch.setattr(record_interactions, "record_of", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        world.job(RECORD, task_id="once", batch=batch)
    lost = perform.give_up(world.services, "once", f"orchestrator.{RECORD}", "ZeroDivisionError")
    assert "of some accounts were recorded" in lost["error"]["message"]
    outcome = world.job(RECORD, task_id="once", batch=batch)
    assert outcome == lost
    assert [world.session(one).interactions for one in ids] == [1, 1, 0]


@pytest.mark.usefixtures("one_by_one")
def test_each_account_that_cannot_be_done_with_the_others_is_locked_alone(any_world: MakeWorld) -> None:
    world = any_world()
    _, batch = _of_three_accounts(world)
    commits: list[list[str]] = [[]]

    def note(_c: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if "FROM accounts" in statement:
            commits[-1] += [one for one in ("amy", "bob", "zoe") if one in str(parameters)]

    engine = world.services.database.engine
    event.listen(engine, "before_cursor_execute", note)
    event.listen(engine, "commit", lambda _connection: commits.append([]))
    world.done(RECORD, batch=batch)
    event.remove(engine, "before_cursor_execute", note)
    assert [set(one) for one in commits if one][:3] == [{"amy"}, {"bob"}, {"zoe"}]


def test_many_due_stops_are_left_to_follow_a_batch(
    any_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = any_world()
    monkeypatch.setattr(crowd, "STOPS_AT_ONCE", 2)
    world.done("account.put", account_id="acme", plan="contract", currency="USD")
    ids = [world.run_session(stop={"max_duration_seconds": 60 + n}) for n in range(5)]
    world.jump(5 * MINUTE)
    result = world.done(RECORD, batch=[{"session_id": ids[4], "count": 1}])
    assert result["accepted"] == 1
    assert [world.session(one).state is State.RUNNING for one in ids] == [False, False, True, True, True]
    world.settle()
    assert [world.session(one).stopped_at for one in ids] == [START + (60 + n) * SECOND for n in range(5)]


def _statements(world: World, batch: list[dict[str, Any]]) -> list[str]:
    seen: list[str] = []

    def note(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        seen.append(statement)

    engine = world.services.database.engine
    event.listen(engine, "before_cursor_execute", note)
    world.done(RECORD, batch=batch)
    event.remove(engine, "before_cursor_execute", note)
    return seen


def test_a_batch_takes_as_many_statements_for_many_accounts_as_for_one(any_world: MakeWorld) -> None:
    world = any_world()
    ids, _ = _of_three_accounts(world)
    one = _statements(world, [{"session_id": ids[0], "count": 1}])
    many = _statements(world, [{"session_id": each, "count": 1} for each in ids * 20])
    assert len(many) == len(one) <= 10
    assert sum(statement.startswith("UPDATE sessions") for statement in many) == 1
    assert [world.session(each).interactions for each in ids] == [21, 20, 20]


def test_an_account_that_must_stop_a_session_is_done_alone(any_world: MakeWorld) -> None:
    world = any_world()
    ids, _ = _of_three_accounts(world)
    limited = world.run_session(account_id="bob", stop={"max_interactions": 3})
    batch = [{"session_id": each, "count": 3} for each in (*ids, limited)]
    result = world.done(RECORD, batch=batch)
    assert result == {"accepted": 4, "rejected": []}
    assert [world.session(each).interactions for each in (*ids, limited)] == [3, 3, 3, 3]
    assert world.session(limited).stop_reason is StopReason.MAX_INTERACTIONS
    assert [world.session(each).state for each in ids] == [State.RUNNING] * 3


def test_alike_items_count_as_their_sum(any_world: MakeWorld) -> None:
    world = any_world()
    first, second = (world.run_session(stop={"idle_seconds": 600}) for _ in range(2))
    at = [(START + n * SECOND).isoformat() for n in (100, 100, 150)]
    items = [{"count": 2, "at": at[0]}, {"count": 3, "at": at[1]}, {"count": 1, "at": at[2], "ok": False}]
    world.done(RECORD, batch=[{"session_id": first, **item} for item in items])
    for item in items:
        world.done(RECORD, batch=[{"session_id": second, **item}])
    apart, together = world.session(second), world.session(first)
    for field in ("interactions", "last_interaction_at", "last_alive_at", "stop_at", "ping_at"):
        assert getattr(apart, field) == getattr(together, field), field


def test_an_account_that_is_held_delays_no_other_of_its_batch(postgres_url: str) -> None:
    with World(postgres_url) as world, ThreadPoolExecutor(1) as pool:
        ids, batch = _of_three_accounts(world)
        with world.services.database.engine.connect() as other:
            other.execute(text("SELECT id FROM accounts WHERE id = 'bob' FOR UPDATE"))
            job = pool.submit(world.done, RECORD, batch=batch)
            eventually(lambda: world.session(ids[0]).interactions == 1, "the others")
            assert [world.session(one).interactions for one in ids] == [1, 0, 2]
            under_way = not job.done()
            assert under_way
            other.rollback()
        assert job.result(timeout=60)["accepted"] == 4
        assert [world.session(one).interactions for one in ids] == [1, 1, 2]
