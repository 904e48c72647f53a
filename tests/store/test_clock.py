"""The store's clock as processes use it: each one's measurements, and the shared row of a jump."""

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime, timedelta

import pytest
from sqlalchemy import text

from orchestrator.rules.installation.clock import KnownTime
from orchestrator.store.core.stopwatch import Stopwatch, machine_stopwatch
from orchestrator.store.database import Database
from orchestrator.store.transaction import Transaction
from tests.rules.builders import HOUR, MINUTE, SECOND, T0
from tests.store.stage import statements

NEAR = SECOND


class Earth:
    """True time, and the clock of the store's host, which may be off."""

    def __init__(self, url: str) -> None:
        self.passed = timedelta(0)
        self.off = timedelta(0)
        self._url = url
        self._stack = ExitStack()

    def process(
        self, boot: str = "boot-1", *, keeps: bool = True, asleep: timedelta = timedelta(0)
    ) -> Database:
        """Return a process on the machine that was started as `boot`; it measures less by the time that it was
        `asleep`."""
        stopwatch = Stopwatch(
            seconds=lambda: (self.passed - asleep).total_seconds() + 1000, boot=boot, host=f"host of {boot}"
        )
        database = Database(
            self._url,
            clock=lambda: T0 + self.passed + self.off,
            stopwatch=stopwatch,
            keeps_time=keeps,
            pause=self._pause,
        )
        self._stack.callback(database.dispose)
        return database

    def close(self) -> None:
        """Give the connections back."""
        self._stack.close()

    def _pause(self, seconds: float) -> None:
        self.passed += timedelta(seconds=seconds)


@pytest.fixture
def earth(request: pytest.FixtureRequest, database_url: str) -> Iterator[Earth]:
    """Return a new one, on both databases."""
    made = Earth(database_url)
    yield made
    made.close()


def now(database: Database) -> datetime:
    """Return the time as a flow reads it."""
    return database.transact(lambda tx: tx.now())


def known(database: Database) -> KnownTime:
    """Return the row."""
    with database.reading() as tx:
        found = tx.clock.known()
    assert found is not None
    return found


def off_by(earth: Earth, database: Database) -> timedelta:
    """Return the error of a process's time."""
    return abs(now(database) - (T0 + earth.passed))


@pytest.mark.parametrize("jump", [HOUR, -HOUR, 2 * HOUR, -2 * HOUR, 6 * SECOND, -6 * SECOND])
def test_a_jump_moves_nobody_and_is_known_to_all(earth: Earth, jump: timedelta) -> None:
    worker, command = earth.process(), earth.process(keeps=False)
    assert now(worker) == now(command) == T0

    earth.passed, earth.off = MINUTE, jump
    assert off_by(earth, worker) <= NEAR
    assert off_by(earth, command) <= NEAR
    earth.passed += SECOND
    assert off_by(earth, worker) <= NEAR
    row = known(worker)
    assert row.jumped_at is not None
    assert abs(row.jumped_at - (T0 + MINUTE)) <= 2 * NEAR
    assert abs(row.correction + jump) <= NEAR
    assert row.seen_by == "host of boot-1"

    earth.passed += HOUR
    assert off_by(earth, worker) <= NEAR
    earth.off = timedelta(0)
    earth.passed += 2 * SECOND
    assert off_by(earth, worker) <= NEAR
    assert known(worker).jumped_at is None


@pytest.mark.parametrize("boot", ["boot-1", "boot-2"])
@pytest.mark.parametrize("jump", [HOUR, -HOUR])
def test_who_starts_during_a_jump_goes_by_the_others_time(earth: Earth, jump: timedelta, boot: str) -> None:
    worker = earth.process()
    now(worker)
    earth.passed, earth.off = MINUTE, jump
    now(worker)
    earth.passed += 2 * SECOND
    now(worker)

    assert off_by(earth, earth.process(boot)) <= 3 * SECOND
    assert off_by(earth, earth.process(boot, keeps=False)) <= 3 * SECOND


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
def test_who_starts_on_the_same_machine_finds_a_jump_of_which_nobody_knows(
    earth: Earth, jump: timedelta
) -> None:
    now(earth.process())
    earth.passed, earth.off = 10 * MINUTE, jump

    assert off_by(earth, earth.process()) <= NEAR


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
def test_if_all_die_as_the_clock_jumps_who_starts_again_on_either_machine_finds_it(
    earth: Earth, jump: timedelta
) -> None:
    for boot in ("boot-1", "boot-2"):
        now(earth.process(boot))
        earth.passed += 2 * SECOND
    earth.passed, earth.off = 10 * MINUTE, jump

    for boot in ("boot-1", "boot-2"):
        worker = earth.process(boot)
        worker.learn_time()
        assert off_by(earth, worker) <= NEAR
    assert known(worker).jumped_at is not None


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
def test_a_worker_that_starts_elsewhere_as_the_clock_jumps_hears_the_others_first(
    earth: Earth, jump: timedelta
) -> None:
    worker = earth.process()
    now(worker)
    earth.passed, earth.off = 3 * SECOND, jump
    newcomer = earth.process("boot-2")

    def others_go_on(seconds: float) -> None:
        earth.passed += timedelta(seconds=seconds)
        now(worker)

    newcomer.time.learn(newcomer.engine, others_go_on)
    assert off_by(earth, newcomer) <= 6 * SECOND


def test_after_a_long_rest_of_all_the_clock_of_another_machine_is_believed(earth: Earth) -> None:
    now(earth.process())
    earth.passed = 10 * HOUR
    worker = earth.process("boot-2")
    worker.learn_time()

    assert off_by(earth, worker) == timedelta(0)
    assert known(worker).jumped_at is None


def test_a_clock_behind_what_was_noted_is_not_believed(earth: Earth) -> None:
    now(earth.process())
    earth.passed, earth.off = 10 * MINUTE, -HOUR
    worker = earth.process("boot-2")
    worker.learn_time()

    assert now(worker) >= T0
    earth.passed += 2 * SECOND
    now(worker)
    assert known(worker).jumped_at is not None


def test_a_machine_that_was_suspended_follows_the_others(earth: Earth) -> None:
    suspended, others = earth.process("boot-1"), earth.process("boot-2")
    now(suspended)
    now(others)
    for _ in range(300):
        earth.passed += 2 * SECOND
        now(others)
    suspended.time._stopwatch = Stopwatch(
        seconds=lambda: (earth.passed - 10 * MINUTE).total_seconds() + 1000, boot="boot-1", host="host-1"
    )
    suspended.time._looked = float("-inf")

    assert off_by(earth, suspended) == timedelta(0)
    assert known(others).jumped_at is None


def test_a_transaction_that_meets_the_jump_goes_on_with_the_time_measured(earth: Earth) -> None:
    worker = earth.process()

    def across_a_jump(tx: Transaction) -> tuple[datetime, datetime]:
        before = tx.now()
        earth.off = HOUR
        return before, tx.now()

    before, after = worker.transact(across_a_jump)
    assert after - before <= SECOND


def test_before_the_migration_a_process_goes_by_what_it_measures(earth: Earth) -> None:
    worker = earth.process()
    with worker.engine.begin() as connection:
        connection.execute(text("DROP TABLE clock"))
    now(worker)
    earth.passed, earth.off = MINUTE, HOUR

    assert off_by(earth, worker) <= NEAR


def test_the_clock_of_this_machine_measures() -> None:
    stopwatch = machine_stopwatch()

    assert 0 < stopwatch.seconds() <= stopwatch.seconds()
    assert stopwatch.host


def test_the_time_is_noted_in_a_real_database(database_url: str) -> None:
    database = Database(database_url, keeps_time=True)
    first = now(database)

    assert abs(known(database).at - first) <= MINUTE
    assert known(database).jumped_at is None
    database.dispose()


def test_an_account_is_locked_and_the_clock_is_read_after_it_in_one_statement(
    on_postgresql: Database,
) -> None:
    on_the_servers_clock = Database(on_postgresql.url.render_as_string(hide_password=False))
    before = now(on_the_servers_clock)

    with statements(on_the_servers_clock) as seen:
        locked = on_the_servers_clock.transact(lambda tx: tx.lock_account("acme"))

    assert locked is not None
    assert before <= locked[1] <= now(on_the_servers_clock)
    (one,) = [(text_, values) for text_, values in seen if "accounts" in text_]
    assert "clock_timestamp" in one[0]
    with on_the_servers_clock.engine.connect() as connection:
        plan = [*connection.exec_driver_sql("EXPLAIN (VERBOSE) " + one[0], one[1]).scalars()]
    places = [n for n, line in enumerate(plan) for part in ("clock_timestamp()", "LockRows") if part in line]
    assert len(places) == 2, plan
    assert "clock_timestamp()" in plan[places[0]], "what stands further below is done first"
    on_the_servers_clock.dispose()


def test_an_account_that_is_held_is_not_locked_with_the_clock(on_postgresql: Database) -> None:
    on_the_servers_clock = Database(on_postgresql.url.render_as_string(hide_password=False))

    def beside(tx: Transaction) -> object:
        assert tx.lock_account("acme") is not None
        return on_the_servers_clock.transact(lambda other: other.lock_account("acme"))

    assert on_the_servers_clock.transact(beside) is None
    assert on_the_servers_clock.transact(lambda tx: tx.lock_account("none")) is None
    on_the_servers_clock.dispose()
