"""The brake over all providers: where our network fails, no session ends as dead, also where a provider has one
session."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from orchestrator.flows.engine.canary import Canary
from orchestrator.flows.steps.ping.failed_pings import prune
from orchestrator.rules.installation.installation_alarms import InstallationAlarm
from orchestrator.rules.states import State
from orchestrator.rules.values import Policy
from tests.flows.conftest import MakeWorld
from tests.world import HOUR, MINUTE, SECOND, World


def _cut(world: World, *upstreams: str) -> None:
    for upstream in upstreams:
        world.server.fault("dead", operation="chat", upstream=upstream)


def _alarms(world: World) -> Sequence[InstallationAlarm]:
    with world.services.database.reading() as tx:
        return tx.installation_alarms.listed()


def test_two_providers_of_one_session_each_that_fail_at_once_end_nobody(world: World) -> None:
    one, other = world.run_session("llama"), world.run_session("moral")
    world.pass_time(MINUTE)
    _cut(world, "alpha", "morph")
    world.pass_time(3 * MINUTE)
    for session_id in (one, other):
        session = world.session(session_id)
        assert (session.state, session.failures < 7) == (State.RUNNING, True)
    [alarm] = _alarms(world)
    assert (alarm.kind, alarm.about) == ("network_down", world.services.host)
    assert "alpha, morph" in alarm.reason

    world.server.clear_faults()
    world.pass_time(2 * MINUTE)
    assert _alarms(world) == []
    assert [world.session(one).failures, world.session(other).failures] == [0, 0]


def test_one_provider_that_fails_while_another_answers_is_at_fault(world: World) -> None:
    lost, well = world.run_session("llama"), world.run_session("moral")
    world.pass_time(MINUTE)
    _cut(world, "alpha")
    world.pass_time(3 * MINUTE)
    assert world.session(lost).stop_reason == "dead"
    assert world.session(well).state is State.RUNNING
    assert _alarms(world) == []


def test_the_only_session_of_all_dies_as_before(world: World) -> None:
    lost = world.run_session("llama")
    _cut(world, "alpha")
    world.pass_time(3 * MINUTE)
    assert world.session(lost).stop_reason == "dead"


def test_silence_of_all_is_believed_for_as_long_as_a_brake_holds(make_world: MakeWorld) -> None:
    world = make_world(policy=Policy(brake_max_seconds=120))
    one, other = world.run_session("llama"), world.run_session("moral")
    world.pass_time(MINUTE)
    _cut(world, "alpha", "morph")
    world.pass_time(90 * SECOND)
    assert world.session(one).state is State.RUNNING
    world.pass_time(4 * MINUTE)
    assert [world.session(one).stop_reason, world.session(other).stop_reason] == ["dead", "dead"]


def test_a_worker_gives_way_where_another_reaches_the_provider(world: World) -> None:
    session_id = world.run_session("llama")
    near = replace(world.services, host="near")
    far = replace(world.another_worker(), host="far")
    world.pass_time(MINUTE)
    world.server.fault("dead", operation="chat", upstream="alpha", times=2)
    world.jump(31 * SECOND)
    world.settle(near)
    assert world.session(session_id).failures == 1, "nothing else is known yet"
    world.jump(SECOND)
    now = world.clock.now
    world.services.database.transact(lambda tx: tx.contacts.note_reached("far", "alpha", now))
    world.settle(near)
    assert world.session(session_id).failures == 1
    [alarm] = _alarms(world)
    assert alarm.about == "near to alpha"
    world.settle(far)
    assert world.session(session_id).last_alive_at == world.clock.now


def test_a_silent_canary_freezes_deaths_and_one_that_answers_does_not(world: World) -> None:
    http = world.services.drivers["alpha"]._http  # type: ignore[attr-defined]
    silent = replace(world.services, canary=Canary(http, "http://127.0.0.1:9"))
    session_id = world.run_session("llama")
    _cut(world, "alpha")
    for _ in range(20):
        world.jump(10 * SECOND)
        world.settle(silent)
    assert world.session(session_id).failures == 0
    well = replace(world.services, canary=Canary(http, world.server.url))
    for _ in range(20):
        world.jump(10 * SECOND)
        world.settle(well)
    assert world.session(session_id).stop_reason == "dead"


@pytest.mark.parametrize("hours", [0, 2])
def test_old_contacts_are_forgotten(world: World, hours: int) -> None:
    world.run_session("llama")
    world.pass_time(MINUTE)
    world.jump(hours * HOUR)
    prune(world.services)
    with world.services.database.reading() as tx:
        assert len(tx.contacts.all()) == (0 if hours else 1)
