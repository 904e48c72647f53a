"""Each fault of the processes around the work turns exactly one line of the doctor red, with its remedy."""

import os
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from celery import Celery
from celery.contrib.testing.worker import start_worker
from redis import Redis

from orchestrator.client import celery_options
from orchestrator.rules.liveness import DEATHS, KINDS, SCHEDULER
from orchestrator.settings import Settings
from orchestrator.store.unit import Transaction
from orchestrator.tasks.jobs import register
from orchestrator.tasks.liveness import Pulse
from tests.cli.conftest import Cli
from tests.world import World

SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)
#: Celery's own use of redis-py is deprecated, and the worker here shares the process with the tests.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::RuntimeWarning")
Act = Callable[[Transaction], object]


@pytest.fixture
def healthy(cli: Cli, world: World, valkey_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cli]:
    """A platform on which nothing is red: every kind of process reports, and jobs are answered."""
    monkeypatch.setenv("ORCHESTRATOR_BROKER_URL", valkey_url)
    app: Celery = Celery("worker", broker=valkey_url, backend=valkey_url, set_as_current=False)
    app.conf.update(celery_options(), worker_pool="solo", worker_hijack_root_logger=False)
    register(app, lambda: world.services)
    change(world, all_report)
    with start_worker(app, pool="solo", perform_ping_check=False, shutdown_timeout=20):
        yield cli
    app.close()


def change(world: World, act: Act) -> None:
    """In the database that the command reads, by its own clock."""
    from orchestrator import wiring

    database = wiring.open_database(Settings(database_url=os.environ["ORCHESTRATOR_DATABASE_URL"]))
    database.transact(act)
    database.dispose()


def all_report(tx: Transaction) -> None:
    for kind in (*KINDS, SCHEDULER):
        report(tx, kind)


def report(
    tx: Transaction, kind: str, *, id_: str | None = None, ago: timedelta = -HOUR, **wall: float
) -> None:
    """A process that has run for a while, sent and received a moment ago; rows in the future stay fresh."""
    passed = [0.0]
    pulse = Pulse(kind, clock=lambda: passed[0])
    passed[0] = 7200.0
    pulse.received()
    if kind == SCHEDULER:
        pulse.sent()
    at = tx.now() - ago
    tx.workers.report(pulse.report(id_ or kind, at, at.timestamp() + wall.get("ahead", 0.0)))


def red(cli: Cli) -> dict[str, str]:
    found = cli("doctor", "--json").json
    return {one["check"]: one["detail"] for one in found if not one["ok"] and not one.get("skipped")}


def test_the_doctor_is_content_with_a_platform_that_works(healthy: Cli) -> None:
    assert red(healthy) == {}
    assert healthy("doctor").code == 0


def no_stops(tx: Transaction) -> None:
    tx.workers.leave("stop")


def dies_again_and_again(tx: Transaction) -> None:
    for n in range(DEATHS):
        report(tx, "control", id_=f"dead-{n}", ago=(n + 1) * 30 * SECOND)


def nothing_sent(tx: Transaction) -> None:
    tx.workers.leave(SCHEDULER)


def nothing_received(tx: Transaction) -> None:
    tx.connection.exec_driver_sql("UPDATE workers SET last_wake_up_at = NULL WHERE kind = 'ping'")


def clock_is_off(tx: Transaction) -> None:
    report(tx, "ping", ahead=3600.0)


@pytest.mark.parametrize(
    ("fault", "line", "remedy"),
    [
        pytest.param(no_stops, "workers", "orchestrator worker --pool stop", id="no worker of a kind"),
        pytest.param(dies_again_and_again, "restarts", "look into its log", id="a crash loop"),
        pytest.param(nothing_sent, "scheduler", "`orchestrator scheduler`", id="no scheduler"),
        pytest.param(nothing_received, "wake-ups", "ORCHESTRATOR_BROKER_URL", id="nothing is delivered"),
        pytest.param(clock_is_off, "machine clocks", "run NTP", id="a clock is off"),
    ],
)
def test_a_fault_turns_its_own_line_red(
    healthy: Cli, world: World, fault: Act, line: str, remedy: str
) -> None:
    change(world, fault)
    found = red(healthy)
    assert list(found) == [line], found
    assert remedy in found[line]


def test_a_broker_that_refuses_writes(healthy: Cli, valkey_url: str) -> None:
    with Redis.from_url(valkey_url) as redis:
        before = redis.config_get("maxmemory")["maxmemory"]
        redis.config_set("maxmemory", "1")
        try:
            found = red(healthy)
        finally:
            redis.config_set("maxmemory", before)
    assert list(found) == ["broker writes"], found
    assert "give it memory" in found["broker writes"]


def test_a_provider_that_is_no_longer_configured(healthy: Cli, world: World, config: Path) -> None:
    world.run_session()
    config.write_text(config.read_text().replace("[providers.alpha]", "[providers.omega]"))
    found = red(healthy)
    assert "unknown providers" in found
    assert "alpha" in found["unknown providers"]
