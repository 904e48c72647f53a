"""A machine with a clock that is off the store's raises an alarm once, and its end is reported."""

from datetime import datetime

from orchestrator.flows.operations.machine_clocks import alarm_off_clocks
from orchestrator.flows.upstream.alarms import SUBJECT
from orchestrator.rules.installation.installation_alarms import InstallationAlarm
from orchestrator.rules.values import Worker
from orchestrator.store.transaction import Transaction
from tests.flows.conftest import MakeWorld
from tests.world import MINUTE, SECOND, World


def _report(world: World, kind: str, host: str, offset: float) -> None:
    def write(tx: Transaction) -> None:
        tx.workers.report(_row(kind, host, offset, tx.now()))

    world.services.database.transact(write)


def _row(kind: str, host: str, offset: float, now: datetime) -> Worker:
    return Worker(
        id=f"{kind} on {host}",
        kind=kind,
        host=host,
        pid=1,
        version="1",
        started_at=now,
        seen_at=now,
        clock_offset_seconds=offset,
    )


def _alarms(world: World) -> list[InstallationAlarm]:
    with world.services.database.reading() as tx:
        return list(tx.installation_alarms.listed())


def test_a_clock_that_is_off_is_alarmed_until_it_agrees(any_world: MakeWorld) -> None:
    world = any_world()
    _report(world, "ping", "near", 0.2)
    assert alarm_off_clocks(world.services) == 0
    for kind in ("ping", "scheduler"):
        _report(world, kind, "far", 3600.0)
    for _ in range(3):
        assert alarm_off_clocks(world.services) == 1
        world.jump(SECOND)
    [alarm] = _alarms(world)
    assert (alarm.kind, alarm.about, alarm.times_seen) == ("clock_offset", "far", 3)
    assert "+3600.0 s off the database's: run NTP there" in alarm.reason
    for kind in ("ping", "scheduler"):
        _report(world, kind, "far", -0.4)
    assert alarm_off_clocks(world.services) == 0
    assert _alarms(world) == []
    assert world.events(SUBJECT) == ["clock_offset", "recovered"]


def test_the_alarm_of_a_host_that_is_gone_ends(world: World) -> None:
    _report(world, "stop", "far", -7.0)
    assert alarm_off_clocks(world.services) == 1
    world.jump(MINUTE)
    assert alarm_off_clocks(world.services) == 0
    assert world.events(SUBJECT) == ["clock_offset", "recovered"]
