"""Closes: 1,000 and 10,000 sessions end in one second, at four providers that take 64 closes of 50 ms at once."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.bench.figures import Basis, Better, Figure
from tests.bench.run import Run, say
from tests.bench.seeds import Seeds, end, seed
from tests.bench.stage import KEY_VARIABLE, Stage, pids
from tests.bench.usage import measured
from tests.processes.platform import Running
from tests.waiting import eventually

_WAIT_LIMIT = 900.0
_PROVIDERS, _CAP, _CLOSE_MS = ("p0", "p1", "p2", "p3"), 64, 50
_OPEN = "SELECT count(*) FROM placements WHERE session_id < %s AND state <> 'closed' /* of the benchmark */"


@dataclass(frozen=True, kw_only=True, slots=True)
class Ended:
    """This many sessions have ended."""

    sessions: int
    seconds: float
    """From the first deadline to the last proof."""
    stop_cpu: float
    close_cpu: float
    server_cpu: float
    statements: int

    @property
    def over_limit(self) -> float:
        """Return the time ÷ what the caps alone allow."""
        return self.seconds / max(self.sessions / (len(_PROVIDERS) * _CAP) * _CLOSE_MS / 1000, 1.0)


def measure(run: Run) -> Iterator[Figure]:
    """Measure both numbers with a process that stops, and one that closes."""
    few, many = run.size.rows(1_000, 300), run.size.rows(10_000, 300)
    sizes = [few, many] if run.size.scale >= 1 else [few]
    with run.upstreams(dict.fromkeys(_PROVIDERS, _CLOSE_MS)) as urls, run.stage("closes") as stage:
        stage.configure({name: _provider(url) for name, url in urls.items()})
        seed(stage, Seeds(sessions=sum(sizes) + 100, accounts=1_000, providers=urls))
        workers = stage.worker("stop"), stage.worker("close")
        stage.start("scheduler")
        _end(stage, workers, 0, 100)  # code and connections are warm
        first = 100
        for sessions in sizes:
            yield from _figures(_end(stage, workers, first, first + sessions))
            first += sessions


def _provider(url: str) -> dict[str, Any]:
    """Return a platform whose close is one call, on a connection of its own."""
    call = {"method": "POST", "url": "/sessions", "headers": {"authorization": "Bearer {secret}"}}
    return {
        "driver": "fpt",
        "mode": "template",
        "base_url": url,
        "max_in_flight": _CAP,
        "credentials": [f"env:{KEY_VARIABLE}"],
        "names_create": True,
        "confirm_close": False,
        "lost_opens_need_an_operator": True,
        "open": {**call, "body": {"name": "{name}"}, "handle": "id", "endpoint_url": "url"},
        "close": {**call, "method": "DELETE", "url": "/sessions/{handle}"},
    }


def _end(stage: Stage, workers: tuple[Running, Running], first: int, last: int) -> Ended:
    stop, close = workers
    end(stage, first, last, within_seconds=1)
    stage.forget_counts()
    server_cpu = stage.server_cpu()
    with measured(pids([stop])) as stopping, measured(pids([close])) as closing:
        begun = _until_the_first(stage, last)
        stage.wake("stop")
        eventually(lambda: not stage.value(_OPEN, f"s{last:07}"), "every close", _WAIT_LIMIT, every=0.1)
        seconds = time.monotonic() - begun
    sessions = last - first
    ended = Ended(
        sessions=sessions,
        seconds=seconds,
        stop_cpu=stopping.cpu,
        close_cpu=closing.cpu,
        server_cpu=stage.server_cpu() - server_cpu,
        statements=stage.counts().statements,
    )
    say(
        f"closes: {sessions:,} in {seconds:.1f} s, {ended.over_limit:.1f} x the cap's own limit;"
        f" {sessions / ended.close_cpu:,.0f} closes and {sessions / ended.stop_cpu:,.0f} stops per CPU-s"
    )
    return ended


def _until_the_first(stage: Stage, last: int) -> float:
    query = (
        "SELECT count(*) FROM sessions WHERE id < %s AND stop_at <= clock_timestamp() AND ended_at IS NULL"
    )
    eventually(
        lambda: stage.value(f"{query} /* of the benchmark */", f"s{last:07}"), "the first end", every=0.02
    )
    return time.monotonic()


def _figures(ended: Ended) -> Iterator[Figure]:
    sessions = ended.sessions
    yield Figure(
        name=f"closes/{sessions}",
        title=f"{sessions:,} sessions end in one second, 4 x 64 closes of 50 ms: time ÷ the longer of this second and"
        " the caps' own limit",
        value=ended.over_limit,
        basis=Basis.WALL,
        better=Better.LESS,
        peer="the caps' own limit",
        must=2,
        goal=1.3,
        absolute={
            "s": ended.seconds,
            "closes per CPU-s": sessions / ended.close_cpu,
            "stops per CPU-s": sessions / ended.stop_cpu,
            "CPU-ms of PostgreSQL for a stop and its close": 1000 * ended.server_cpu / sessions,
        },
    )
    yield Figure(
        name=f"closes/statements-{sessions}",
        title=f"statements for a stop and its close, {sessions:,} at once",
        value=ended.statements / sessions,
        basis=Basis.STATEMENTS,
        better=Better.LESS,
    )
    yield Figure(
        name=f"closes/cpu-{sessions}",
        title=f"closes per CPU-s of a close process, {sessions:,} at once",
        value=sessions / ended.close_cpu,
        unit="/CPU-s",
    )
