"""Eight worker processes that do jobs at the same moment, straight over the store, without a broker."""

import multiprocessing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from tests.money.stage import Stage
from tests.world import START

PROCESSES = 8
#: Seconds for all of it, on a busy machine.
WAIT_LIMIT = 150.0
_context = multiprocessing.get_context("forkserver")


@dataclass(frozen=True, kw_only=True)
class Job:
    name: str
    kwargs: Mapping[str, Any]
    task_id: str


@dataclass(frozen=True, kw_only=True)
class Race:
    """The input of every process."""

    url: str
    gate: Any
    clock: Any
    """A shared number: seconds since the start."""
    outcomes: Any
    seconds_per_job: int = 0
    """The clock that all share moves on with each job."""
    works: bool = False
    """Between jobs, each process also does what is due."""


@dataclass
class Outcomes:
    by_task: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    retries: int = 0

    def results(self) -> list[str]:
        return [task_id for task_id, outcome in self.by_task.items() if outcome["ok"]]

    def codes(self) -> list[str]:
        """Return the codes of the refusals."""
        return [outcome["error"]["code"] for outcome in self.by_task.values() if not outcome["ok"]]


def run(url: str, jobs: Sequence[Job], *, seconds_per_job: int = 0, works: bool = False) -> Outcomes:
    """Deal the jobs out to the processes, and start all at once."""
    _context.set_forkserver_preload([__name__])
    race = Race(
        url=url,
        gate=_context.Barrier(PROCESSES),
        clock=_context.Value("q", 0),
        outcomes=_context.Queue(),
        seconds_per_job=seconds_per_job,
        works=works,
    )
    hands = [jobs[n::PROCESSES] for n in range(PROCESSES)]
    processes = [_context.Process(target=_compete, args=(race, hand), daemon=True) for hand in hands]
    for process in processes:
        process.start()
    outcomes = Outcomes()
    for _ in processes:
        by_task, retries = race.outcomes.get(timeout=WAIT_LIMIT)
        assert isinstance(by_task, dict), by_task
        outcomes.by_task |= by_task
        outcomes.retries += retries
    for process in processes:
        process.join(WAIT_LIMIT)
    return outcomes


def _compete(race: Race, jobs: Sequence[Job]) -> None:
    stage = Stage(race.url)
    stage.services.database._clock = _shared(race)
    try:
        race.gate.wait(WAIT_LIMIT)
        outcomes = {job.task_id: _do(race, stage, job) for job in jobs}
        race.outcomes.put((outcomes, stage.services.database.retries))
    except BaseException as error:
        race.outcomes.put((repr(error), 0))
        raise
    finally:
        stage.close()


def _do(race: Race, stage: Stage, job: Job) -> Mapping[str, Any]:
    outcome = stage.job(job.name, task_id=job.task_id, **job.kwargs)
    with race.clock.get_lock():
        race.clock.value += race.seconds_per_job
    if race.works:
        stage.clock.now = _shared(race)()
        stage.settle()
    return outcome


def _shared(race: Race) -> Callable[[], datetime]:
    return lambda: START + timedelta(seconds=race.clock.value)
