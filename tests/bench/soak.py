"""A ping process with 2,000 requests in flight for minutes: memory, descriptors, connections and dead rows stay flat.

python -m tests.bench.soak --minutes 30 [--hot 0.9]
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench.run import Run, end_servers_on_sigterm, in_flight_at_most, say
from tests.bench.seeds import Seeds, seed
from tests.bench.servers import ServerMissing, counting_postgres, requests_held
from tests.bench.sizes import FULL
from tests.bench.stage import Stage, pids
from tests.bench.usage import open_files, pss_mib
from tests.processes.platform import Running
from tests.waiting import Unseen, eventually

#: An answer takes 20 seconds, so 100 pings a second keep 2,000 in flight.
_IN_FLIGHT, _DELAY_MS, _INTERVAL = 2_000, 20_000, 30
_SAMPLE_EVERY = 5.0
#: Seconds until the slots are full.
_FULL_WITHIN = 180.0
#: The share of the slots that is in flight at least; the others are between an answer and the next claim.
_LEAST = 0.9
#: A series is flat if its last third is at most so much above the third before it: a share, and a number of units.
_GROWTH: Mapping[str, tuple[float, float]] = {
    "memory, MiB": (0.05, 4),
    "descriptors": (0.05, 40),
    "connections": (0.0, 2),
    "dead rows": (0.5, 20_000),  # 200 come each second, and autovacuum looks once a minute
}
_HOT = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'sessions' /* of the benchmark */"


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What is asked of the process, and what it may take."""

    in_flight: int
    hot: float
    """The least share of the updates of `sessions` that are HOT."""
    most_mib: float

    @property
    def sessions(self) -> int:
        """A few more than the slots can serve: these are always full."""
        rate = self.in_flight / (_DELAY_MS / 1000)
        return round(1.2 * rate * (_INTERVAL + _DELAY_MS / 1000))


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What was seen, and what is wrong with it."""

    series: Mapping[str, Sequence[float]]
    hot_ratio: float
    faults: Sequence[str]


def main() -> int:
    """Run it and print what was seen; return 1 where something grows, or too few updates are HOT."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--hot", type=float, default=0.9, help="the least share of updates that are HOT")
    most = in_flight_at_most(_IN_FLIGHT)
    parser.add_argument("--in-flight", type=int, default=most, help="pings at once, at two providers")
    parser.add_argument("--most-mib", type=float, default=200, help="the most memory of the process")
    chosen = parser.parse_args()
    end_servers_on_sigterm()
    try:
        with (
            tempfile.TemporaryDirectory(prefix="orchestrator-soak-") as directory,
            counting_postgres() as (server, postgres),
        ):
            run = Run(Path(directory), server, postgres, FULL)
            limits = Limits(in_flight=chosen.in_flight, hot=chosen.hot, most_mib=chosen.most_mib)
            outcome = soak(run, 60 * chosen.minutes, limits)
    except ServerMissing as error:
        say(str(error))
        return 2
    except Unseen as error:
        say(f"FAULT  {error}: this process cannot keep so many in flight here")
        return 1
    for name, values in outcome.series.items():
        say(f"{name}: {values[0]:,.0f} at first, {values[-1]:,.0f} at last, {max(values):,.0f} at most")
    say(f"HOT updates of sessions: {outcome.hot_ratio:.1%}")
    for fault in outcome.faults:
        say(f"FAULT  {fault}")
    return int(bool(outcome.faults))


def soak(run: Run, seconds: float, limits: Limits) -> Outcome:
    """Ping for this long; return what was sampled."""
    delays = {"alpha": _DELAY_MS, "beta": _DELAY_MS}
    with run.upstreams(delays) as urls, run.stage("soak") as stage:
        policy = {"ping_interval_seconds": _INTERVAL, "ping_timeout_seconds": 60}
        providers = {
            name: {"base_url": url, "max_in_flight": limits.in_flight // 2} for name, url in urls.items()
        }
        stage.configure(providers, policy)
        seed(stage, Seeds(sessions=limits.sessions, accounts=100, providers=urls))
        worker = stage.worker("ping")
        stage.start("scheduler")
        _make_due(stage)
        probes = _probes(stage, worker, urls["alpha"])
        in_flight = probes["in flight"]
        full = f"{limits.in_flight:,} pings in flight"
        eventually(lambda: in_flight() >= _LEAST * limits.in_flight, full, _FULL_WITHIN)
        before = stage.sql.execute(_HOT.encode()).fetchone()
        series = _sampled(probes, seconds)
        after = stage.sql.execute(_HOT.encode()).fetchone()
        assert before is not None
        assert after is not None
        updates, hot_ones = (int(now) - int(was) for now, was in zip(after, before, strict=True))
    ratio = hot_ones / updates if updates else 0.0
    faults = [*growing(series), *_outside(series, ratio, limits)]
    return Outcome(series=series, hot_ratio=ratio, faults=faults)


def growing(series: Mapping[str, Sequence[float]]) -> Iterator[str]:
    """Yield each series whose last third is above the third before it."""
    for name, (share, units) in _GROWTH.items():
        third = len(series[name]) // 3
        middle, last = series[name][third : 2 * third], series[name][-third:]
        if not third:
            yield f"{name}: too few samples"
        elif statistics.median(last) > statistics.median(middle) * (1 + share) + units:
            yield f"{name}: grew from {statistics.median(middle):,.0f} to {statistics.median(last):,.0f}"


def _outside(series: Mapping[str, Sequence[float]], hot: float, limits: Limits) -> Iterator[str]:
    memory, held = max(series["memory, MiB"]), statistics.median(series["in flight"])
    if hot < limits.hot:
        yield f"HOT updates of sessions: {hot:.1%}, and at least {limits.hot:.0%} are wanted"
    if memory > limits.most_mib:
        yield f"memory: {memory:,.0f} MiB, and at most {limits.most_mib:,.0f} are wanted"
    if held < _LEAST * limits.in_flight:
        yield f"only {held:,.0f} pings were in flight, so that nothing is proven"


def _make_due(stage: Stage) -> None:
    """Let the first pings come spread over an interval."""
    at = f"clock_timestamp() + random() * {_INTERVAL} * interval '1 second'"
    stage.sql.execute(
        f"UPDATE sessions SET ping_at = {at}, next_step_at = {at} /* of the benchmark */".encode()
    )


def _probes(stage: Stage, worker: Running, url: str) -> Mapping[str, Callable[[], float]]:
    plain = "/* of the benchmark */"
    backends = f"SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() {plain}"
    dead = f"SELECT sum(n_dead_tup) FROM pg_stat_user_tables {plain}"
    return {
        "memory, MiB": lambda: pss_mib(pids([worker])),
        "descriptors": lambda: float(sum(map(open_files, pids([worker])))),
        "connections": lambda: float(stage.value(backends)),
        "dead rows": lambda: float(stage.value(dead)),
        "in flight": lambda: float(requests_held(url)),
    }


def _sampled(probes: Mapping[str, Callable[[], float]], seconds: float) -> Mapping[str, list[float]]:
    series: dict[str, list[float]] = {name: [] for name in probes}
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for name, probe in probes.items():
            series[name].append(probe())
        last = ", ".join(f"{name} {values[-1]:,.0f}" for name, values in series.items())
        if len(series["in flight"]) % 12 == 1:
            say(f"soak: {last}")
        time.sleep(_SAMPLE_EVERY)
    return series


if __name__ == "__main__":
    sys.exit(main())
