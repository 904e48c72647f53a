"""Throughput of pings when twice as many are due as fit ÷ when as many are due as fit."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

from tests.bench.figures import Better, Figure
from tests.bench.lines.pings import DONE, ping_all, pinging
from tests.bench.run import Run, middle, say
from tests.bench.stage import Stage, pids
from tests.bench.usage import measured
from tests.processes.platform import Running

_CAP, _SECONDS = 64, 12
_OFFER = (
    "UPDATE sessions SET next_step = 'ping', ping_at = at, next_step_at = at FROM (SELECT id AS of, clock_timestamp()"
    " + random() * %s * interval '1 second' AS at FROM sessions WHERE id < %s) AS offered WHERE id = of"
    " /* of the benchmark */"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Served:
    """What was done in a window."""

    pings: int
    cpu: float

    @property
    def per_cpu(self) -> float:
        return self.pings / self.cpu


def measure(run: Run) -> Iterator[Figure]:
    """Find out what fits, then offer as much and twice as much, by turns. CPU-seconds are compared: a process that is
    kept busy by others does less in the same time."""
    seconds = run.size.rows(_SECONDS, 6)
    most = 3_000 * seconds
    ratios, halves, wholes = [], [], []
    with pinging(run, cap=_CAP, sessions=most, delay_ms=0) as (stage, worker, _):
        warm = ping_all(stage, worker, min(3_000, most))
        fits = min(round(warm.pings / warm.wall), most // seconds // 2)
        for _ in range(run.size.rounds):
            halves.append(_offered(stage, worker, fits * seconds, seconds))
            wholes.append(_offered(stage, worker, 2 * fits * seconds, seconds))
            ratios.append(wholes[-1].per_cpu / halves[-1].per_cpu)
            said = f"{halves[-1].per_cpu:,.0f} per CPU-s at {fits:,}/s, {wholes[-1].per_cpu:,.0f} at {2 * fits:,}/s"
            say(f"overload: {said}")
    yield Figure(
        name="overload/pings",
        title="pings per CPU-s at 200 % offered load ÷ at 100 %",
        value=middle(ratios),
        better=Better.MORE,
        must=0.9,
        goal=1.0,
        absolute={
            "pings per CPU-s at 100 %": middle([one.per_cpu for one in halves]),
            "pings per CPU-s at 200 %": middle([one.per_cpu for one in wholes]),
            "pings per s at 100 %": middle([one.pings / seconds for one in halves]),
            "pings per s at 200 %": middle([one.pings / seconds for one in wholes]),
        },
    )


def _offered(stage: Stage, worker: Running, sessions: int, seconds: int) -> Served:
    """Let this many come due, spread over the window; return what was done in it. What is left over is then done
    too."""
    stage.sql.execute(
        "UPDATE sessions SET next_step_at = clock_timestamp() + interval '1 day' /* of the benchmark */"
    )
    stage.sql.execute("VACUUM ANALYZE sessions")
    mark = stage.value("SELECT clock_timestamp()")
    stage.sql.execute(_OFFER.encode(), (seconds, f"s{sessions:07}"))
    with measured(pids([worker])) as spent:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            stage.wake("ping")
            time.sleep(0.5)
    return Served(pings=stage.value(DONE, mark), cpu=spent.cpu)
