"""The scheduler: which one leads, what it does without a database or a broker, and when it is stuck."""

import logging
import threading
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo

import apscheduler.schedulers.base
import apscheduler.triggers.interval
import pytest
from apscheduler.events import EVENT_JOB_MAX_INSTANCES

from orchestrator.scheduler import LEASE, LEASE_SECONDS, STUCK_AFTER, Scheduler, timetable
from orchestrator.store.database import Database
from orchestrator.tasks.ticks import TICKS
from tests.waiting import eventually
from tests.world import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def database(sqlite_url: str, clock: Clock) -> Iterator[Database]:
    database = Database(sqlite_url, clock=clock)
    yield database
    database.dispose()


def test_one_leads_and_the_other_stands_by(database: Database) -> None:
    sent: list[str] = []
    first, second = (Scheduler(database, lambda name, n=n: sent.append(f"{n} {name}")) for n in (1, 2))  # type: ignore[misc]
    for one in (first, second, first):
        one.beat()
    for one in (first, second):
        one.tick("ping")
    assert sent == ["1 ping"]


def test_the_other_takes_over_when_the_lease_has_run_out(database: Database, clock: Clock) -> None:
    sent: list[str] = []
    dead, heir = Scheduler(database, sent.append), Scheduler(database, sent.append)
    dead.beat()
    clock.now += timedelta(seconds=LEASE_SECONDS - 1)
    heir.beat()
    heir.tick("too early")
    clock.now += timedelta(seconds=2)
    heir.beat()
    heir.tick("ping")
    dead.beat()
    dead.tick("not mine any more")
    assert sent == ["ping"]


def test_who_leaves_gives_the_lease_back_at_once(database: Database) -> None:
    sent: list[str] = []
    leaving, heir = Scheduler(database, sent.append), Scheduler(database, sent.append)
    leaving.beat()
    leaving.leave()
    heir.beat()
    heir.tick("ping")
    assert sent == ["ping"]


def test_each_beat_is_seen_in_the_row(database: Database, clock: Clock) -> None:
    one = Scheduler(database, lambda _: None)
    for _ in range(3):
        clock.now += timedelta(seconds=1)
        one.beat()
        with database.reading() as tx:
            assert tx.leases.last_seen(LEASE) == clock.now


def test_without_a_database_everybody_ticks(tmp_path: object) -> None:
    nowhere = Database(f"sqlite:///{tmp_path}/missing/nowhere.db")
    sent: list[str] = []
    one = Scheduler(nowhere, sent.append)
    one.beat()
    one.tick("ping")
    one.leave()
    assert sent == ["ping"]
    nowhere.dispose()


def test_a_broker_that_is_down_is_reported_once_and_ticks_go_on(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    sent: list[str] = []
    is_up = False

    def send(name: str) -> None:
        if not is_up:
            raise ConnectionError("no broker")
        sent.append(name)

    one = Scheduler(database, send)
    one.beat()
    with caplog.at_level(logging.WARNING):
        for _ in range(5):
            one.tick("ping")
        assert [record.message for record in caplog.records] == [
            "ping not sent: ConnectionError; is the broker up? Workers find due work without wake-ups"
        ]
        is_up = True
        one.tick("ping")
        is_up = False
        one.tick("close")
    assert sent == ["ping"]
    assert len(caplog.records) == 2, "a new failure is logged again"


def test_stuck_is_who_leads_and_finishes_no_tick(database: Database) -> None:
    passed = 0.0
    leader, follower = (Scheduler(database, lambda _: None, lambda: passed) for _ in range(2))
    for one in (leader, follower):
        one.beat()
    stuck = False
    for _ in range(int(STUCK_AFTER) + 1):
        passed += 1
        follower.beat()
        assert not follower.look(), "who stands by has nothing to finish"
        stuck = leader.look()
    assert stuck
    leader.tick("ping")
    assert not leader.look()


def test_a_follower_sends_wake_ups_while_the_database_hangs(database: Database) -> None:
    passed = 0.0
    sent: list[str] = []
    leader, follower = (Scheduler(database, sent.append, lambda: passed) for _ in range(2))
    for one in (leader, follower):
        one.beat()
    follower.tick("too early")
    for _ in range(int(STUCK_AFTER) + 1):
        passed += 1  # and no beat ends
        follower.tick("ping")
        assert not follower.look(), "the broker answers"
    assert set(sent) == {"ping"}
    follower.beat()
    sent.clear()
    follower.tick("ping")
    assert sent == [], "the other leads again"


def test_a_process_that_was_stopped_for_ten_minutes_is_not_stuck(database: Database) -> None:
    passed = 0.0
    one = Scheduler(database, lambda _: None, lambda: passed)
    one.beat()
    one.tick("ping")
    assert not one.look()
    passed += 600
    assert not one.look()


@pytest.mark.parametrize("hours", [2, -2])
def test_ticks_go_on_each_second_when_the_wall_clock_jumps(
    database: Database, monkeypatch: pytest.MonkeyPatch, hours: float
) -> None:
    jumped = timedelta()

    class Shifted(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) + jumped

    monkeypatch.setattr(apscheduler.schedulers.base, "datetime", Shifted)
    monkeypatch.setattr(apscheduler.triggers.interval, "datetime", Shifted)
    sent: list[str] = []
    beats = timetable(Scheduler(database, sent.append), wall=lambda: Shifted.now(UTC).timestamp())
    each_second = [name for name, tick in TICKS.items() if tick.every_seconds == 1]
    beats.start()
    try:
        eventually(lambda: set(sent) >= set(each_second), "the first ticks")
        jumped = timedelta(hours=hours)
        for _ in range(3):
            sent.clear()
            eventually(lambda: set(sent) >= set(each_second), "the next ticks", 20)
        counted = Counter(sent)
    finally:
        beats.shutdown()
    assert "orchestrator.tick.outcomes" not in counted, "what comes hourly waits for its hour"


def test_a_wakeup_that_finds_the_last_one_on_its_way_is_skipped_without_a_word(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    skipped, may_end = threading.Event(), threading.Event()
    beats = timetable(Scheduler(database, lambda _: None))
    beats.add_listener(lambda _: skipped.set(), EVENT_JOB_MAX_INSTANCES)
    beats.add_job(lambda: may_end.wait(60), "interval", seconds=0.02)
    caplog.set_level(logging.WARNING)
    beats.start()
    try:
        assert skipped.wait(60)
    finally:
        may_end.set()
        beats.shutdown()
    assert [record.message for record in caplog.records if record.levelno >= logging.WARNING] == []
    logging.getLogger("apscheduler.scheduler").warning("something else")
    assert "something else" in caplog.text
