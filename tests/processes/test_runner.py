"""A bell and a runner: due work is done with wake-ups, without any, and in spite of failures."""

import logging
import queue
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

import pytest

from orchestrator.rules.installation.liveness import CONTROL, KINDS, STOP
from orchestrator.store.core.error_classes import OUTAGES, ErrorClass
from orchestrator.store.database import StoreOutage
from orchestrator.tasks import ticks
from orchestrator.tasks.liveness import Pulse
from orchestrator.tasks.outage import Outage
from orchestrator.tasks.runner import AT_ONCE, JITTER, LOOK_EVERY, Bell, Runner, Runners, pause_of, repeats
from orchestrator.tasks.ticks import TICKS, Tick, TickContext
from orchestrator.tasks.wake_ups import OF_STEP, WAKE_UPS
from tests.waiting import eventually

AROUND = cast(TickContext, None)


class Stage:
    """One runner, and the claims of its flow, run by run."""

    def __init__(self, every_seconds: float = 1, pause_seconds: float = 0) -> None:
        self.claims: queue.SimpleQueue[int | Exception] = queue.SimpleQueue()
        self.runs = 0
        self.gate = threading.Event()
        self.gate.set()
        self.outage = Outage()
        self.tick = Tick(kind="ping", every_seconds=every_seconds, run=self._run, pause_seconds=pause_seconds)
        self.runner = Runner("orchestrator.tick.test", self.tick, lambda: AROUND, self.outage, Pulse("ping"))

    def _run(self, _around: TickContext) -> int:
        self.gate.wait(60)
        self.runs += 1
        try:
            claim = self.claims.get_nowait()
        except queue.Empty:
            return 0
        if isinstance(claim, Exception):
            raise claim
        return claim

    def has_run(self, times: int) -> None:
        """Wait for a run."""
        eventually(lambda: self.runs >= times, f"{times} runs")


@pytest.fixture
def stage() -> Iterator[Stage]:
    stage = Stage()
    yield stage
    stage.gate.set()
    stage.runner.leave()
    assert stage.runner.wait(60) == 0


def test_rings_that_were_not_heard_are_one() -> None:
    bell = Bell()
    for _ in range(100):
        bell.ring()
    assert [bell.wait(0), bell.wait(0)] == [True, False]


def test_it_looks_as_it_starts_and_again_without_a_bell(stage: Stage) -> None:
    stage.runner.start()
    stage.has_run(2)


def test_it_runs_until_a_run_claims_nothing(stage: Stage) -> None:
    for claimed in (5, 3, 1):
        stage.claims.put(claimed)
    stage.runner.start()
    stage.has_run(4)
    assert stage.claims.empty()


def test_a_wake_up_with_a_pause_waits_before_it_runs_again() -> None:
    stage = Stage(pause_seconds=3600)
    for _ in range(3):
        stage.claims.put(1)
    stage.runner.start()
    stage.has_run(1)
    stage.runner.leave()
    assert stage.runner.wait(60) == 0, "it leaves in the middle of its pause"
    assert stage.runs == 1


def test_events_are_gathered_for_less_than_the_interval_of_their_wake_up() -> None:
    events = TICKS["orchestrator.tick.events"]
    assert 0 < events.pause_seconds < events.every_seconds


def test_a_backlog_is_worked_off_however_long_it_is(stage: Stage) -> None:
    for _ in range(AT_ONCE + 5):
        stage.claims.put(1)
    stage.runner.start()
    stage.has_run(AT_ONCE + 6)


def test_a_hundred_rings_while_it_runs_cost_one_more_look(stage: Stage) -> None:
    stage.gate.clear()
    stage.runner.start()
    for _ in range(100):
        stage.runner.ring()
    stage.gate.set()
    stage.has_run(2)
    assert stage.runs <= 3, "at most one by its own beat"


def test_upkeep_runs_once_for_each_ring() -> None:
    hourly = Stage(every_seconds=3600)
    for _ in range(3):
        hourly.claims.put(7)
    hourly.runner.start()
    hourly.has_run(1)
    hourly.runner.ring()
    hourly.has_run(2)
    hourly.runner.leave()
    assert hourly.runner.wait(60) == 0
    assert hourly.runs == 2


def test_a_flow_that_raises_is_logged_once_in_a_while_and_its_runner_goes_on(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):
        stage.claims.put(LookupError("a defect"))
    with caplog.at_level(logging.WARNING):
        stage.runner.start()
        for n in range(1, 4):
            stage.runner.ring()
            stage.has_run(n)
    assert len([record for record in caplog.records if "test failed" in record.message]) == 1


def test_a_store_that_is_down_is_an_outage_and_its_end_is_logged(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    stage.claims.put(StoreOutage(ErrorClass.DOWN, ConnectionError()))
    with caplog.at_level(logging.WARNING):
        stage.runner.start()
        stage.has_run(1)
        stage.runner.ring()
        eventually(lambda: "the database works again" in caplog.text, "the end of the outage")
    assert OUTAGES[ErrorClass.DOWN] in caplog.text


def test_a_process_that_cannot_be_built_yet_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    builds: list[int] = []

    def surroundings() -> TickContext:
        builds.append(1)
        if len(builds) == 1:
            raise StoreOutage(ErrorClass.DOWN, ConnectionError())
        return AROUND

    runs: list[int] = []
    tick = Tick(kind="ping", every_seconds=1, run=lambda _: runs.append(1))
    runner = Runner("orchestrator.tick.test", tick, surroundings, Outage(), Pulse("ping"))
    runner.start()
    eventually(lambda: runs, "a run")
    runner.leave()
    assert runner.wait(60) == 0


def test_it_ends_only_after_the_run_that_is_under_way(stage: Stage) -> None:
    stage.gate.clear()
    stage.runner.start()
    stage.runner.leave()
    assert stage.runner.wait(0.05) in (0, 1)
    stage.gate.set()
    assert stage.runner.wait(60) == 0


@pytest.mark.parametrize(("every", "looks_after"), [(1, LOOK_EVERY), (5, 6), (60, 72), (3600, 4320)])
def test_without_a_bell_it_looks_a_little_after_the_beat(every: float, looks_after: float) -> None:
    tick = Tick(kind="ping", every_seconds=every, run=lambda _: 0)
    assert pause_of(tick, 0) == pytest.approx(looks_after)
    assert pause_of(tick, 1) == pytest.approx(looks_after * (1 + JITTER))
    assert pause_of(tick, -1) == pytest.approx(looks_after * (1 - JITTER))
    assert pause_of(tick, -1) > every, "the scheduler rings first"


def test_every_wake_up_has_a_runner_in_exactly_one_kind_of_process() -> None:
    kinds = {kind: set(_names(kind)) for kind in KINDS}
    assert set().union(*kinds.values()) == set(TICKS)
    assert sum(map(len, kinds.values())) == len(TICKS)


def test_stops_and_funds_share_no_process_with_jobs() -> None:
    assert set(_names(STOP)) == {"orchestrator.tick.stop", "orchestrator.tick.funds"}
    assert "orchestrator.tick.admit" in _names(CONTROL)


def test_what_a_commit_can_make_due_is_looked_at_until_nothing_is() -> None:
    assert all(repeats(TICKS[name]) for name in OF_STEP.values())


def test_a_wake_up_of_another_kind_rings_nothing() -> None:
    runs: list[str] = []
    ticks: Mapping[str, Tick] = {
        kind: Tick(kind=kind, every_seconds=1, run=_noting(runs, kind)) for kind in ("ping", "stop")
    }
    runners = Runners("ping", lambda: AROUND, Outage(), Pulse("ping"), ticks=ticks)
    runners.ring("stop")
    runners.start()
    eventually(lambda: runs, "the first look")
    runners.leave()
    assert runners.finish(lambda: 60) == 0
    assert set(runs) == {"ping"}


def _noting(runs: list[str], kind: str) -> Callable[[TickContext], Any]:
    return lambda _around: runs.append(kind)


def _names(kind: str) -> list[str]:
    return [name for name, tick in TICKS.items() if tick.kind == kind]


def test_each_wake_up_of_the_table_runs_a_flow() -> None:
    assert set(ticks._RUNS) == set(WAKE_UPS)
    assert set(ticks._STEPS) <= set(WAKE_UPS)
