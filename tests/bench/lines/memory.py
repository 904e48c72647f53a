"""Memory at rest: the worker's processes and the scheduler, pages that they share counted once."""

import time
from collections.abc import Iterator

from tests.bench.figures import Basis, Better, Figure
from tests.bench.run import Run, say
from tests.bench.stage import Stage, pids
from tests.bench.usage import cpu_seconds, pss_mib
from tests.waiting import eventually

_KINDS = 5
#: Seconds after which everything that a process does at first is done.
_AT_REST = 30


def measure(run: Run) -> Iterator[Figure]:
    """Start both, wait, and look."""
    seconds = run.size.rows(_AT_REST, 6)
    with run.stage("memory") as stage:
        stage.configure({"alpha": {"base_url": "http://127.0.0.1:9/v1"}})
        worker, scheduler = stage.start("worker"), stage.start("scheduler")
        eventually(lambda: _kinds(stage) >= _KINDS, "every kind of work")
        time.sleep(seconds)
        before = cpu_seconds(pids([worker, scheduler]))
        time.sleep(seconds)
        idle = (cpu_seconds(pids([worker, scheduler])) - before) / seconds
        tree, beats = pss_mib(pids([worker])), pss_mib(pids([scheduler]))
    say(f"memory: {tree:.0f} MiB of the worker's tree, {beats:.0f} MiB of the scheduler")
    yield Figure(
        name="memory/rest",
        title="memory at rest, worker tree and scheduler (PSS)",
        value=tree + beats,
        unit="MiB",
        basis=Basis.MEMORY,
        better=Better.LESS,
        must=350,
        goal=200,
        absolute={"worker tree, MiB": tree, "scheduler, MiB": beats, "CPU-s in a second at rest": idle},
    )


def _kinds(stage: Stage) -> int:
    return int(stage.value("SELECT count(DISTINCT kind) FROM workers /* of the benchmark */"))
