"""A process that starts while its surroundings are down: it waits for the database, and works without the broker."""

import logging
import signal
from pathlib import Path

import pytest
from sqlalchemy import make_url
from sqlalchemy.exc import OperationalError

from orchestrator.processes.readiness import wait_for_database
from orchestrator.rules.installation.liveness import KINDS, SCHEDULER
from orchestrator.store.core.error_classes import OUTAGES, ErrorClass
from orchestrator.store.database import StoreOutage, StoreUnavailable
from tests.chaos.proxy import Proxy
from tests.processes.conftest import PlatformOn
from tests.processes.platform import Platform
from tests.waiting import eventually

DOWN = OperationalError("SELECT 1", None, Exception("connection refused"))


#: Errors that an operator must correct.
WRONG = [ErrorClass.MISSING, ErrorClass.NO_RIGHTS, ErrorClass.NOT_MIGRATED]


def unavailable(meaning: ErrorClass) -> StoreUnavailable:
    error = StoreUnavailable("the database postgresql://somebody:***@db cannot be used")
    error.__cause__ = StoreOutage(meaning, DOWN)
    return error


@pytest.mark.parametrize("meaning", sorted(set(OUTAGES) - set(WRONG)))
def test_a_database_that_is_down_is_waited_for_and_the_log_stays_short(
    meaning: ErrorClass, caplog: pytest.LogCaptureFixture
) -> None:
    passed, tries = [0.0], [0]

    def check() -> None:
        tries[0] += 1
        if tries[0] <= 100:
            raise unavailable(meaning)

    def sleep(seconds: float) -> None:
        passed[0] += seconds

    with caplog.at_level(logging.WARNING):
        wait_for_database(check, sleep=sleep, clock=lambda: passed[0])
    said = [record.message for record in caplog.records]
    assert tries == [101]
    assert len(said) == 5, "one line now and then, and one at the end"
    assert "waiting for the database" in said[0]
    assert "the database answers after 100 s" in said[-1]


@pytest.mark.parametrize("meaning", WRONG)
def test_what_an_operator_must_correct_is_not_waited_for(meaning: ErrorClass) -> None:
    def check() -> None:
        raise unavailable(meaning)

    with pytest.raises(StoreUnavailable):
        wait_for_database(check, sleep=lambda _: pytest.fail("waited"))


def test_processes_wait_for_their_database_and_begin_without_their_broker(
    postgres_url: str, platform_on: PlatformOn
) -> None:
    url = make_url(postgres_url)
    proxy = Proxy(Path(str(url.query["host"])) / f".s.PGSQL.{url.query.get('port', 5432)}")
    try:
        proxy.stall()
        through = url.set(host="127.0.0.1", port=proxy.port, query={})
        platform = platform_on(through.render_as_string(hide_password=False), "redis://127.0.0.1:1/0")
        (platform.directory / "orchestrator.toml").write_text("")
        both = [platform.start(command) for command in ("worker", "scheduler")]
        for running in both:
            eventually(lambda: "waiting for the database" in running.text(), "it waits")  # noqa: B023
            assert running.process.poll() is None
        proxy.heal()
        eventually(lambda: kinds(platform) == {*KINDS, SCHEDULER}, "every kind of process works")
        for running in both:
            assert "Starting without it: due work is done, jobs and events wait" in running.text()
            running.send_signal(signal.SIGTERM)
        assert [running.wait() for running in both] == [0, 0]
    finally:
        proxy.close()


def kinds(platform: Platform) -> set[str]:
    """Return the kinds of the processes that report."""
    with platform.database.reading() as tx:
        return {one.kind for one in tx.workers.listed()}
