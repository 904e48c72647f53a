"""Faults of the worker's own machine end no session; they raise an alarm, and work continues as soon as it can."""

import socket

import pytest

from orchestrator.flows.upstream.local_faults import end_alarms
from orchestrator.observability import metrics
from orchestrator.rules.installation.installation_alarms import InstallationAlarm
from orchestrator.rules.states import PlacementState, State
from orchestrator.rules.values import Plan
from tests.flows.conftest import MakeWorld
from tests.providers.test_local_faults import Names
from tests.world import HOSTS, MINUTE, SECOND, World

pytestmark = pytest.mark.slow

MANY = {"payg": Plan(name="payg", max_sessions=100, max_concurrent=100, max_nodes=2)}


class Outage:
    """A world in which name resolution can be made to fail."""

    def __init__(self, make_world: MakeWorld) -> None:
        self.names = Names(set(HOSTS.values()))
        self.world: World = make_world(resolver=self.names, plans=MANY)

    def begin(self, error: int = socket.EAI_NONAME) -> None:
        self.names.known, self.names.error = set(), error

    def end(self) -> None:
        self.names.known = set(HOSTS.values())


@pytest.fixture
def outage(make_world: MakeWorld) -> Outage:
    return Outage(make_world)


def _alarms(world: World) -> list[InstallationAlarm]:
    with world.services.database.reading() as tx:
        return list(tx.installation_alarms.listed())


@pytest.mark.parametrize("error", [socket.EAI_NONAME, socket.EAI_AGAIN])
def test_a_resolver_that_is_down_for_two_minutes_ends_nobody(outage: Outage, error: int) -> None:
    world = outage.world
    many = [world.run_session("llama") for _ in range(12)]
    alone = world.run_session("moral")
    outage.begin(error)
    world.pass_time(2 * MINUTE)
    assert {world.session(one).failures for one in [*many, alone]} == {0}
    [alarm] = _alarms(world)
    assert alarm.about == f"resolver on {socket.gethostname()}"
    assert "/etc/resolv.conf" in alarm.reason
    before = {one: world.session(one).last_alive_at for one in [*many, alone]}

    outage.end()
    ended_at = world.clock.now
    world.pass_time(10 * SECOND)
    for one in [*many, alone]:
        session = world.session(one)
        assert session.state is State.RUNNING
        assert session.last_alive_at is not None
        assert session.last_alive_at >= ended_at > (before[one] or ended_at)
    world.pass_time(3 * MINUTE)
    assert end_alarms(world.services) == 1
    assert _alarms(world) == []


def test_a_name_that_is_not_found_where_others_are_is_its_providers_fault(outage: Outage) -> None:
    world = outage.world
    lost, well = world.run_session("moral"), world.run_session("llama")
    outage.names.known.discard(HOSTS["morph"])
    world.pass_time(2 * MINUTE)
    assert world.session(lost).stop_reason == "dead"
    assert world.session(well).state is State.RUNNING
    outage.end()
    world.pass_time(15 * MINUTE)


def test_an_open_that_failed_here_is_sent_later_by_the_same_key(outage: Outage) -> None:
    world = outage.world
    outage.begin()
    session_id = world.create_session("roam")
    world.pass_time(5 * MINUTE)
    [placement] = world.placements(session_id)
    assert placement.state is PlacementState.OPENING
    assert world.calls("open") == 0
    outage.end()
    world.pass_time(10 * SECOND)
    session = world.session(session_id)
    assert (session.state, session.placements, session.provider) == (State.RUNNING, 1, "morph")


def test_a_close_that_failed_here_is_tried_again_within_seconds(outage: Outage) -> None:
    world = outage.world
    session_id = world.run_session("moral")
    outage.begin()
    world.done("session.close", session_id=session_id)
    world.pass_time(10 * MINUTE)
    assert world.session(session_id).state is State.STOPPING
    outage.end()
    world.pass_time(10 * SECOND)
    assert world.session(session_id).state is State.STOPPED


def test_a_close_that_failed_here_for_long_and_then_there_is_tried_again_within_seconds(
    outage: Outage,
) -> None:
    world = outage.world
    session_id = world.run_session("moral")
    outage.begin()
    world.done("session.close", session_id=session_id)
    world.pass_time(10 * MINUTE)
    world.server.fault("close_fails", operation="close", times=1)
    outage.end()
    world.pass_time(15 * SECOND)
    assert world.calls("close") > 1
    assert world.session(session_id).state is State.STOPPED


def test_own_faults_are_counted_and_do_not_spin(outage: Outage) -> None:
    world = outage.world
    world.run_session("llama")
    counter = metrics.LOCAL_FAULTS.labels("resolver")
    before = counter._value.get()
    outage.begin()
    world.pass_time(2 * MINUTE)
    assert 5 <= counter._value.get() - before <= 20, "after 1, 2, 4 s, then every 8 s"


def test_another_worker_takes_what_this_one_cannot_do(outage: Outage) -> None:
    world = outage.world
    session_id = world.run_session("llama")
    outage.begin()
    world.jump(31 * SECOND)
    world.settle()
    begun = world.session(session_id).last_alive_at
    outage.end()  # names are found again
    world.settle(world.another_worker())
    assert world.session(session_id).last_alive_at != begun
