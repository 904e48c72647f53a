"""The row of each process."""

import logging
from dataclasses import replace
from datetime import timedelta

import pytest

from orchestrator.store.database import Database
from orchestrator.tasks.liveness import KEPT, LONGEST_FAULT, Heartbeat, Pulse
from tests.rules.builders import T0

SECOND = timedelta(seconds=1)


def listed(database: Database) -> list[tuple[str, str]]:
    with database.reading() as tx:
        return [(one.id, one.kind) for one in tx.workers.listed()]


def test_a_process_has_one_row_however_often_it_reports(database: Database) -> None:
    pulse = Pulse("ping", clock=lambda: 100.0)
    first = pulse.report("w1", T0, T0.timestamp() + 7200)
    database.transact(lambda tx: tx.workers.report(first))
    pulse.note_claim()
    second = pulse.report("w1", T0 + 3 * SECOND, T0.timestamp())
    database.transact(lambda tx: tx.workers.report(second))
    with database.reading() as tx:
        [row] = tx.workers.listed()
    assert row == replace(second, started_at=first.started_at)
    assert (first.clock_offset_seconds, row.clock_offset_seconds) == (7200, -3)


def test_instants_are_reported_by_the_stores_clock() -> None:
    passed = [100.0]
    pulse = Pulse("scheduler", clock=lambda: passed[0])
    pulse.note_sent()
    passed[0] += 10
    pulse.note_wake_up()
    passed[0] += 5
    seen = pulse.report("w1", T0, 0)
    assert (seen.started_at, seen.last_sent_at) == (T0 - 15 * SECOND, T0 - 15 * SECOND)
    assert (seen.last_wake_up_at, seen.last_claim_at) == (T0 - 5 * SECOND, None)


def test_a_fault_keeps_its_kind_and_none_of_its_words() -> None:
    pulse = Pulse("ping")
    pulse.note_failure("orchestrator.tick.ping", ValueError("sk-secret"))
    assert pulse.report("w1", T0, 0).last_fault == "orchestrator.tick.ping: ValueError"
    pulse.note_failure("x" * 1000, ValueError())
    assert len(pulse.report("w1", T0, 0).last_fault or "") == LONGEST_FAULT


def test_rows_of_processes_that_are_long_gone_are_deleted(database: Database) -> None:
    database.transact(lambda tx: tx.workers.report(Pulse("old").report("w1", tx.now() - KEPT - SECOND, 0)))
    database.transact(lambda tx: tx.workers.report(Pulse("dead").report("w2", tx.now() - KEPT / 2, 0)))
    Heartbeat(lambda: database, Pulse("new")).beat()
    assert [kind for _, kind in listed(database)] == ["dead", "new"]


def test_a_process_that_leaves_in_order_leaves_no_row(database: Database) -> None:
    leaving, dying = (Heartbeat(lambda: database, Pulse(kind)) for kind in ("leaving", "dying"))
    for one in (leaving, dying):
        one.beat()
    leaving.leave()
    dying.report_death("its work", ValueError())
    with database.reading() as tx:
        [row] = tx.workers.listed()
    assert (row.kind, row.last_fault) == ("dying", "its work: ValueError")


def test_a_process_reports_by_itself_and_outlives_a_database_that_is_down(
    tmp_path: object, caplog: pytest.LogCaptureFixture
) -> None:
    nowhere = Database(f"sqlite:///{tmp_path}/missing/nowhere.db")
    caplog.set_level(logging.WARNING)
    one = Heartbeat(lambda: nowhere, Pulse("ping"))
    one.start()
    one.leave()
    nowhere.dispose()
    assert caplog.text == ""
