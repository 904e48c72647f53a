"""A server with one slot that serves its user is busy, not dead."""

import pytest

from orchestrator.rules.states import State, StopReason
from orchestrator.rules.values import Policy
from tests.flows.conftest import MakeWorld
from tests.world import MINUTE, SECOND, START, World

pytestmark = pytest.mark.slow

RECORD = "session.record_interactions"
#: The ping's deadline is real time: a short one.
QUICK = Policy(ping_timeout_seconds=0.2, busy_warn_after_seconds=300, busy_dead_after_seconds=1800)


def report(world: World, session_id: str, **item: object) -> None:
    world.done(RECORD, batch=[{"session_id": session_id, "count": 1, **item}])


def test_a_busy_server_is_left_its_session(make_world: MakeWorld) -> None:
    world = make_world(policy=QUICK)
    session_id = world.run_session()
    world.server.fault("busy", upstream="alpha")
    world.pass_time(4 * MINUTE)
    session = world.session(session_id)
    assert (session.state, session.failures) == (State.RUNNING, 0)
    assert "busy: models answers" in (session.last_ping_detail or "")
    assert world.view(session_id)["busy_since"] is not None
    assert world.events(session_id)[-1] == "running"
    pings = world.calls("chat", "alpha")
    assert pings == 1 + 4, "the first, and half as many as of one that answers"
    world.server.clear_faults()
    world.pass_time(2 * MINUTE)
    assert world.session(session_id).busy_since is None
    assert world.view(session_id)["last_ping"]["verdict"] == "ALIVE"
    assert world.events(session_id)[-1] == "running", "no doubt, and no recovery"


def test_it_is_reported_once_and_dead_at_last(make_world: MakeWorld) -> None:
    world = make_world(policy=QUICK)
    session_id = world.run_session()
    world.server.fault("busy", upstream="alpha")
    world.pass_time(29 * MINUTE)
    assert world.session(session_id).state is State.RUNNING
    assert world.events(session_id).count("busy") == 1
    world.pass_time(4 * MINUTE)
    session = world.session(session_id)
    assert session.stop_reason is StopReason.DEAD
    assert (session.stop_detail or "").startswith("busy for 18")


def test_a_server_that_is_killed_while_it_is_busy_is_dead_in_time(make_world: MakeWorld) -> None:
    world = make_world(policy=QUICK)
    session_id = world.run_session()
    world.server.fault("busy", upstream="alpha")
    world.pass_time(3 * MINUTE)
    world.server.clear_faults()
    world.server.fault("dead", upstream="alpha")
    killed = world.clock.now
    world.pass_time(3 * MINUTE)
    session = world.session(session_id)
    assert session.stop_reason is StopReason.DEAD
    assert session.stopped_at is not None
    assert session.stopped_at - killed <= 2 * MINUTE + 10 * SECOND


def test_where_even_the_look_is_not_answered_it_is_a_failure(make_world: MakeWorld) -> None:
    world = make_world(policy=QUICK)
    session_id = world.run_session()
    world.server.fault("hang", upstream="alpha")
    world.pass_time(2 * MINUTE)
    assert world.session(session_id).stop_reason is StopReason.DEAD
    assert world.calls("models", "alpha") > 1


def test_a_success_that_is_reported_ends_it(make_world: MakeWorld) -> None:
    world = make_world(policy=QUICK)
    session_id = world.run_session()
    world.server.fault("busy", upstream="alpha")
    world.pass_time(MINUTE)
    assert world.session(session_id).busy_since is not None
    report(world, session_id)
    assert world.session(session_id).busy_since is None


def test_an_interaction_under_way_proves_use(make_world: MakeWorld) -> None:
    """Also at a gateway, which has no other call for it."""
    world = make_world(policy=QUICK)
    session_id = world.run_session("moral", stop={"idle_seconds": 120})
    began = "2026-01-01T12:00:00Z"
    report(world, session_id, began=began)
    report(world, session_id, began=began)
    assert world.session(session_id).under_way == (START,)
    world.server.fault("hang", upstream="morph", operation="chat")
    world.pass_time(5 * MINUTE)
    session = world.session(session_id)
    assert (session.state, session.failures, session.interactions) == (State.RUNNING, 0, 0)
    assert "busy: an interaction is under way" in (session.last_ping_detail or "")
    world.server.clear_faults()
    report(world, session_id, began=began, ended="2026-01-01T12:05:00Z")
    session = world.session(session_id)
    assert (session.under_way, session.interactions, session.busy_since) == ((), 1, None)
    assert session.ends_at == START + 7 * MINUTE
    world.pass_time(3 * MINUTE)
    assert world.session(session_id).stop_reason is StopReason.IDLE


def test_one_whose_end_is_never_reported_counts_for_a_bounded_time(make_world: MakeWorld) -> None:
    world = make_world(policy=QUICK)
    session_id = world.run_session(stop={"idle_seconds": 120})
    report(world, session_id, began="2030-01-01T00:00:00Z")
    assert world.session(session_id).ends_at == START + 32 * MINUTE
    world.pass_time(33 * MINUTE)
    assert world.session(session_id).stop_reason is StopReason.IDLE


def test_what_has_not_begun_to_run_has_nothing_under_way(make_world: MakeWorld) -> None:
    world = make_world(policy=QUICK)
    session_id = world.create_session()
    report(world, session_id, began="2026-01-01T12:00:00Z")
    assert world.session(session_id).under_way == ()


def test_instants_that_contradict_each_other_are_refused(make_world: MakeWorld) -> None:
    world = make_world(policy=QUICK)
    item = {"session_id": world.run_session(), "count": 1, "began": "2026-01-01T12:00:00Z"}
    for other in ({"at": "2026-01-01T12:00:00Z"}, {"ended": "2026-01-01T11:59:59Z"}):
        assert world.refused(RECORD, batch=[item | other]) == "invalid_request"
