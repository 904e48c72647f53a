"""Liveness of processes, from their rows."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from orchestrator.rules.installation.liveness import (
    DEATHS,
    DEATHS_WITHIN,
    GONE_AFTER,
    KINDS,
    OFFSET_ALLOWED,
    OFFSET_OVER,
    RESTARTED_WITHIN,
    SCHEDULER,
    SILENT_AFTER,
    alive,
    crash_loops,
    deaf_kinds,
    last_sent,
    missing_kinds,
    off_clocks,
    off_hosts,
    offset_in_words,
    restarting_kinds,
)
from orchestrator.rules.values import Worker

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def worker(kind: str = "ping", seen_ago: timedelta = SECOND, **fields: Any) -> Worker:
    values: dict[str, Any] = {
        "id": f"{kind}-{seen_ago}",
        "host": "a",
        "pid": 1,
        "version": "1",
        "started_at": NOW - timedelta(hours=1),
        "clock_offset_seconds": 0.0,
    }
    return Worker(kind=kind, seen_at=NOW - seen_ago, **(values | fields))


@pytest.mark.parametrize(
    ("seen_ago", "lives"),
    [
        pytest.param(timedelta(), True, id="it has just reported"),
        pytest.param(GONE_AFTER, True, id="it may be late"),
        pytest.param(GONE_AFTER + SECOND, False, id="it is gone"),
    ],
)
def test_a_process_lives_while_it_reports(seen_ago: timedelta, lives: bool) -> None:
    assert bool(alive([worker(seen_ago=seen_ago)], NOW)) is lives


@pytest.mark.parametrize(
    ("rows", "restarting"),
    [
        pytest.param([worker(seen_ago=20 * SECOND, restarts=2)], ["ping"], id="its tree starts it again"),
        pytest.param([worker(seen_ago=RESTARTED_WITHIN, restarts=1)], ["ping"], id="its tree still pauses"),
        pytest.param([worker(seen_ago=RESTARTED_WITHIN + SECOND, restarts=1)], [], id="its tree is gone"),
        pytest.param([worker(seen_ago=20 * SECOND)], [], id="no tree has ever restarted it"),
        pytest.param([worker(seen_ago=20 * SECOND, restarts=2), worker()], [], id="another lives"),
        pytest.param([worker(SCHEDULER, 20 * SECOND, restarts=2)], [], id="a scheduler does no work"),
    ],
)
def test_a_missing_kind_whose_tree_restarts_it_needs_no_other_start(
    rows: list[Worker], restarting: list[str]
) -> None:
    assert restarting_kinds(rows, NOW) == restarting


def test_every_kind_of_work_needs_a_process_and_a_scheduler_is_none() -> None:
    everything = [worker(kind) for kind in KINDS]
    assert missing_kinds(everything, NOW) == []
    assert missing_kinds(everything[1:], NOW) == [KINDS[0]]
    assert missing_kinds([worker(SCHEDULER)], NOW) == list(KINDS)
    assert missing_kinds([worker(kind, 2 * GONE_AFTER) for kind in KINDS], NOW) == list(KINDS)


@pytest.mark.parametrize(
    ("ages", "loops"),
    [
        pytest.param([30] * (DEATHS - 1), False, id="two deaths may happen"),
        pytest.param([30 * n for n in range(1, DEATHS + 1)], True, id="it dies every 30 s"),
        pytest.param([DEATHS_WITHIN.total_seconds() + 60] * DEATHS, False, id="long ago"),
        pytest.param([1] * DEATHS, False, id="they all live"),
    ],
)
def test_what_dies_again_and_again_is_a_crash_loop(ages: list[int], loops: bool) -> None:
    rows = [worker("control", age * SECOND, last_fault=f"fault {age}") for age in ages]
    found = crash_loops(rows, NOW)
    assert [(one.kind, one.host, one.deaths) for one in found] == (
        [("control", "a", DEATHS)] if loops else []
    )
    if loops:
        assert found[0].last_fault == "fault 30", "the newest"


def test_crash_loops_are_counted_by_host_and_kind() -> None:
    spread = [worker("ping", 30 * SECOND, host=f"h{n}") for n in range(DEATHS)]
    assert crash_loops(spread, NOW) == []


def test_the_last_wake_up_sent_is_the_newest_of_all_schedulers() -> None:
    rows = [worker(SCHEDULER, last_sent_at=NOW - n * SECOND) for n in (3, 2, 9)]
    assert last_sent([*rows, worker(SCHEDULER), worker()]) == NOW - 2 * SECOND
    assert last_sent([worker()]) is None


@pytest.mark.parametrize(
    ("rows", "deaf"),
    [
        pytest.param([worker(last_wake_up_at=NOW - SECOND)], [], id="it hears"),
        pytest.param(
            [worker(last_wake_up_at=NOW - 2 * SILENT_AFTER)], ["ping"], id="it has heard nothing lately"
        ),
        pytest.param([worker()], ["ping"], id="it has never heard anything"),
        pytest.param([worker(started_at=NOW - SECOND)], [], id="it has just started"),
        pytest.param([worker(), worker(host="b", last_wake_up_at=NOW)], [], id="another of its kind hears"),
        pytest.param([worker(seen_ago=2 * GONE_AFTER)], [], id="it is gone"),
        pytest.param([worker(SCHEDULER)], [], id="schedulers receive nothing"),
    ],
)
def test_a_kind_of_work_that_receives_no_wake_up_is_deaf(rows: list[Worker], deaf: list[str]) -> None:
    assert deaf_kinds(rows, NOW) == deaf


@pytest.mark.parametrize(
    ("offset", "off"), [(OFFSET_ALLOWED, False), (OFFSET_ALLOWED + 0.1, True), (-3600.0, True), (0.0, False)]
)
def test_a_clock_may_differ_by_a_few_seconds(offset: float, off: bool) -> None:
    assert bool(off_clocks([worker(clock_offset_seconds=offset)], NOW)) is off


@pytest.mark.parametrize(
    ("offset", "alarmed", "off"),
    [
        pytest.param(OFFSET_ALLOWED, False, False, id="within the bound"),
        pytest.param(-OFFSET_ALLOWED - 0.1, False, True, id="beyond it"),
        pytest.param(OFFSET_ALLOWED - 0.1, True, True, id="an alarm does not end near the bound"),
        pytest.param(OFFSET_OVER, True, False, id="it ends well below"),
    ],
)
def test_an_alarm_of_a_clock_does_not_flap(offset: float, alarmed: bool, off: bool) -> None:
    rows = [worker(clock_offset_seconds=offset)]
    assert bool(off_hosts(rows, NOW, {"a"} if alarmed else {"b"})) is off


def test_each_host_is_alarmed_once_with_what_is_off_the_most() -> None:
    rows = [
        worker(host=host, clock_offset_seconds=off) for host, off in [("a", 6), ("a", -9), ("a", 7), ("b", 0)]
    ]
    gone = worker(seen_ago=2 * GONE_AFTER, host="c", clock_offset_seconds=99)
    [(host, worst)] = off_hosts([*rows, gone], NOW, ()).items()
    assert (host, worst) == ("a", rows[1])
    assert "the clock of a (ping) is -9.0 s off the database's: run NTP" in offset_in_words(worst)
