"""Every line of the doctor has a fault that turns it, and it alone, red, with its remedy."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from celery.contrib.testing.worker import start_worker
from redis import Redis
from sqlalchemy import text

from orchestrator import wiring
from orchestrator.cli.doctor.registry import CHECKS
from orchestrator.client import celery_options
from orchestrator.flows.operations.parked_messages import park
from orchestrator.flows.upstream.alarms import open_alarm
from orchestrator.rules.installation.clock import KnownTime
from orchestrator.rules.installation.installation_alarms import InstallationAlarmKind
from orchestrator.rules.installation.liveness import DEATHS, KINDS, SCHEDULER
from orchestrator.rules.installation.messages import ParkedMessage
from orchestrator.rules.values import Webhook
from orchestrator.settings import Settings
from orchestrator.store.transaction import Transaction
from orchestrator.tasks.jobs import register
from orchestrator.tasks.liveness import Pulse
from tests.cli.conftest import Cli
from tests.receiver import an_event_for
from tests.world import World

SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)
#: Celery's own use of redis-py is deprecated, and the worker here shares the process with the tests.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::RuntimeWarning"),
]
Act = Callable[[Transaction], object]


@pytest.fixture
def healthy(cli: Cli, world: World, valkey_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cli]:
    """Return a platform on which nothing is red: every kind of process reports, and jobs are answered."""
    monkeypatch.setenv("ORCHESTRATOR_BROKER_URL", valkey_url)
    database_file().chmod(0o600)
    app: Celery = Celery("worker", broker=valkey_url, backend=valkey_url, set_as_current=False)
    app.conf.update(celery_options(), worker_pool="solo", worker_hijack_root_logger=False)
    register(app, lambda: world.services)
    change(all_report)
    change(all_is_young)
    with start_worker(app, pool="solo", perform_ping_check=False, shutdown_timeout=20):
        yield cli
    app.close()


def database_file() -> Path:
    """Return the database that the command reads."""
    return Path(os.environ["ORCHESTRATOR_DATABASE_URL"].removeprefix("sqlite:///"))


def change(act: Act) -> None:
    """Change the database that the command reads, by its own clock."""
    database = wiring.open_database(Settings(database_url=os.environ["ORCHESTRATOR_DATABASE_URL"]))
    database.transact(act)
    database.dispose()


def all_report(tx: Transaction) -> None:
    for kind in (*KINDS, SCHEDULER):
        report(tx, kind)


def all_is_young(tx: Transaction) -> None:
    """Make all rows young: the world's clock is behind the one that the command reads."""
    for column in ("inbox SET received_at", "outbox SET time"):
        tx.connection.execute(text(f"UPDATE {column} = :now"), {"now": tx.now()})


def outcomes_stay(tx: Transaction) -> None:
    tx.inbox.take("old", "orchestrator.session.create", tx.now() - timedelta(days=32))


def report(
    tx: Transaction, kind: str, *, id_: str | None = None, ago: timedelta = -HOUR, **wall: float
) -> None:
    """Report a process that has run for a while, sent and received a moment ago; rows in the future stay fresh."""
    passed = [0.0]
    pulse = Pulse(kind, clock=lambda: passed[0])
    passed[0] = 7200.0
    pulse.note_wake_up()
    if kind == SCHEDULER:
        pulse.note_sent()
    at = tx.now() - ago
    tx.workers.report(pulse.report(id_ or kind, at, at.timestamp() + wall.get("ahead", 0.0)))


def red(cli: Cli) -> dict[str, str]:
    """Return the lines that say something is wrong, or doubtful; not those that rest on such a line."""
    found = cli("doctor", "--json").json
    wrong = [one for one in found if (not one["ok"] and not one.get("skipped")) or one.get("warning")]
    return {one["check"]: one["detail"] for one in wrong}


def test_the_doctor_is_content_with_a_platform_that_works(healthy: Cli) -> None:
    assert red(healthy) == {}
    assert healthy("doctor").code == 0


@dataclass(frozen=True, kw_only=True)
class Place:
    """The parts that a fault may break."""

    world: World
    config: Path
    broker_url: str
    environment: pytest.MonkeyPatch

    def run_session(self) -> None:
        """Run a session, with nothing overdue."""
        self.world.run_session()
        for table in ("sessions", "accounts"):
            sql(
                f"UPDATE {table} SET next_step_at = '2100-01-01 00:00:00.000000' WHERE next_step IS NOT NULL"
            )(self)
        change(all_is_young)


Fault = Callable[[Place], Any]


def in_the_database(act: Act) -> Fault:
    """Return a fault of rows."""
    return lambda _place: change(act)


def sql(statement: str) -> Fault:
    """Return a fault of the database itself."""
    return in_the_database(lambda tx: tx.connection.exec_driver_sql(statement))


def variable(name: str, value: str) -> Fault:
    """Return a wrong variable of the environment."""
    return lambda place: place.environment.setenv(name, value)


def configuration(old: str, new: str) -> Fault:
    """Return a wrong file."""
    return lambda place: place.config.write_text(place.config.read_text().replace(old, new))


def alarmed(kind: InstallationAlarmKind) -> Fault:
    return in_the_database(lambda tx: open_alarm(tx, kind, "host-7", "look at its name servers", tx.now()))


def dies_again_and_again(tx: Transaction) -> None:
    for n in range(DEATHS):
        report(tx, "control", id_=f"dead-{n}", ago=(n + 1) * 30 * SECOND)


def clock_jumps(tx: Transaction) -> None:
    known = KnownTime(at=tx.now(), boot="elsewhere", boot_seconds=1.0, jumped_at=tx.now(), correction=HOUR)
    tx.clock.write(tx.clock.known(), known)


def message_is_parked(tx: Transaction) -> None:
    empty: dict[str, Any] = {"task": None, "task_id": None, "size": 1, "head": "null"}
    park(
        tx, [ParkedMessage(id="m", parked_at=tx.now(), queue="orchestrator.jobs", reason="no JSON", **empty)]
    )


def event_was_given_up(tx: Transaction) -> None:
    now = tx.now()
    tx.webhooks.insert(
        Webhook(name="shop", url="https://x.example", secret_refs=(), place=0, next_at=now, created_at=now)
    )
    tx.webhooks.put([replace(an_event_for("shop", now), dead_at=now)])


def key_is_paused(tx: Transaction) -> None:
    tx.credentials.pause("alpha", "env:ALPHA", "it is refused", tx.now())


def file_is_gone(place: Place) -> None:
    place.run_session()
    place.environment.delenv("ORCHESTRATOR_CONFIG")
    place.environment.chdir(place.config.parent)
    place.config.unlink()


def work_is_overdue(place: Place) -> None:
    place.world.run_session()
    change(all_is_young)


def provider_is_gone(place: Place) -> None:
    place.run_session()
    configuration("[providers.alpha]", "[providers.omega]")(place)


@contextmanager
def broker_is_full(place: Place) -> Iterator[None]:
    with Redis.from_url(place.broker_url) as redis:
        before = redis.config_get("maxmemory")["maxmemory"]
        redis.config_set("maxmemory", "1")
        try:
            yield
        finally:
            redis.config_set("maxmemory", before)


def key_has_another_type(place: Place) -> None:
    with Redis.from_url(place.broker_url) as redis:
        redis.set("unacked_index", "theirs")  # the worker here has nothing unacknowledged


#: Line → a separate fault, and a part of its remedy.
FAULTS: Mapping[str, tuple[Fault, str]] = {
    "settings": (variable("ORCHESTRATOR_LOG", "loud"), "ORCHESTRATOR_LOG"),
    "configuration": (configuration("driver", "drvier"), "providers.alpha.driver"),
    "environment": (variable("ORCHESTRATOR_BROKER_ULR", "x"), "ORCHESTRATOR_BROKER_URL"),
    "secrets": (variable("ALPHA", ""), "ALPHA"),
    "database": (variable("ORCHESTRATOR_DATABASE_URL", "sqlite:////nowhere/orchestrator.db"), "/nowhere"),
    "configuration file": (file_is_gone, "ORCHESTRATOR_CONFIG"),
    "database file": (lambda _place: database_file().chmod(0o644), "chmod 600"),
    "revision": (sql("DROP INDEX ix_next_steps_due"), "orchestrator migrate"),
    "clock": (in_the_database(clock_jumps), "orchestrator clock accept"),
    "writes": (
        sql("CREATE TRIGGER full BEFORE INSERT ON leases BEGIN SELECT RAISE(ABORT, 'the disk is full'); END"),
        "the disk is full",
    ),
    "broker": (variable("ORCHESTRATOR_BROKER_URL", "redis://127.0.0.1:1/0"), "127.0.0.1:1"),
    "broker writes": (broker_is_full, "give it memory"),
    "broker keys": (key_has_another_type, "`unacked_index` is a string and must be a zset"),
    "workers": (in_the_database(lambda tx: tx.workers.leave("stop")), "orchestrator worker --pool stop"),
    "restarts": (in_the_database(dies_again_and_again), "read its log"),
    "scheduler": (in_the_database(lambda tx: tx.workers.leave(SCHEDULER)), "`orchestrator scheduler`"),
    "wake-ups": (
        sql("UPDATE workers SET last_wake_up_at = NULL WHERE kind = 'ping'"),
        "ORCHESTRATOR_BROKER_URL",
    ),
    "jobs": (
        lambda place: place.environment.setenv(
            "ORCHESTRATOR_BROKER_URL", place.broker_url.replace("/0", "/1")
        ),
        "ORCHESTRATOR_RESULT_URL",
    ),
    "machine clocks": (in_the_database(lambda tx: report(tx, "ping", ahead=3600.0)), "run NTP"),
    "work": (work_is_overdue, "is a worker running"),
    "retention": (in_the_database(outcomes_stay), "does a worker of kind control run"),
    "machines": (alarmed(InstallationAlarmKind.LOCAL_FAULT), "host-7: look at its name servers"),
    "network": (alarmed(InstallationAlarmKind.NETWORK_DOWN), "host-7: look at its name servers"),
    "messages": (in_the_database(message_is_parked), "orchestrator messages list"),
    "webhooks": (in_the_database(event_was_given_up), "events were given up (shop 1)"),
    "unknown providers": (provider_is_gone, "Name it again"),
    "providers": (in_the_database(key_is_paused), "orchestrator provider check"),
}
#: Lines with a fault that cannot be planted in SQLite, and where they are tested.
ELSEWHERE = {"timeouts": "test_database_checks.py::test_timeouts_that_do_not_hold_are_named"}
#: Lines that a fault of another rightly turns red as well.
IMPLIED: Mapping[str, set[str]] = {}


def test_every_line_has_a_fault() -> None:
    lines = {"settings", *(check.name for check in CHECKS)}
    assert lines == FAULTS.keys() | ELSEWHERE.keys()
    for where in ELSEWHERE.values():
        file, _, name = where.partition("::")
        assert f"def {name}(" in (Path(__file__).parent / file).read_text()


@pytest.mark.parametrize("line", FAULTS)
def test_a_fault_turns_its_own_line_red(
    line: str, healthy: Cli, world: World, config: Path, valkey_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault, remedy = FAULTS[line]
    place = Place(world=world, config=config, broker_url=valkey_url, environment=monkeypatch)
    broken = fault(place)
    with broken if hasattr(broken, "__exit__") else nullcontext():
        found = red(healthy)
    assert found.keys() == {line} | IMPLIED.get(line, set()), found
    assert remedy in found[line]


def test_a_kind_of_work_that_its_tree_restarts_again_and_again_turns_one_line_red(healthy: Cli) -> None:
    def dies(tx: Transaction) -> None:
        tx.workers.leave("stop")
        for n in range(DEATHS):
            report(tx, "stop", id_=f"dead-{n}", ago=(n + 1) * 20 * SECOND)
        tx.connection.execute(text("UPDATE workers SET restarts = 5 WHERE id LIKE 'dead-%'"))

    change(dies)
    assert red(healthy).keys() == {"restarts"}
    said = {one["check"]: one["detail"] for one in healthy("doctor", "--json").json}
    assert "being restarted: stop" in said["workers"]
