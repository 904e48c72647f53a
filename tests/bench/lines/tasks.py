"""Pings ÷ one Celery task for each ping, with its own UPDATE, in two prefork processes."""

import os
import sys
from collections.abc import Iterator

from tests.bench.figures import Basis, Figure
from tests.bench.lines.pings import DONE, Round, ping_all, pinging
from tests.bench.peers.plain_celery import sender
from tests.bench.run import Run, in_flight_at_most, middle, say
from tests.bench.stage import Stage, pids
from tests.bench.usage import below, measured
from tests.processes.platform import Running
from tests.waiting import eventually

_WAIT_LIMIT = 600.0
_SLOW_MS = 500


def measure(run: Run) -> Iterator[Figure]:
    """Measure at an upstream that answers at once by CPU, and at a slow one by the clock: there the tasks only wait."""
    yield from _at_once(run)
    yield from _slow(run)


def _at_once(run: Run) -> Iterator[Figure]:
    sessions, tasks = run.size.rows(10_000, 2_000), run.size.rows(4_000, 500)
    ours, theirs = [], []
    with pinging(run, cap=64, sessions=sessions, delay_ms=0) as (stage, worker, urls):
        plain = _plain_worker(stage, urls["alpha"])
        ping_all(stage, worker, 500)
        _ping_by_tasks(stage, plain, 50)
        for _ in range(run.size.rounds):
            theirs.append(_ping_by_tasks(stage, plain, tasks))
            ours.append(ping_all(stage, worker, sessions))
            say(f"tasks, 0 ms: {ours[-1].per_cpu:,.0f} pings per CPU-s, {theirs[-1].per_cpu:,.0f} by tasks")
    yield Figure(
        name="tasks/0ms",
        title="pings per CPU-s ÷ one Celery task per ping with its own UPDATE, prefork 2, 0 ms",
        value=middle([our.per_cpu / other.per_cpu for our, other in zip(ours, theirs, strict=True)]),
        peer="Celery, prefork 2",
        must=5,
        goal=8,
        absolute={
            "pings per CPU-s": middle([one.per_cpu for one in ours]),
            "by tasks per CPU-s": middle([one.per_cpu for one in theirs]),
        },
    )


def _slow(run: Run) -> Iterator[Figure]:
    sessions, tasks = run.size.rows(20_000, 6_000), run.size.rows(60, 20)
    cap = in_flight_at_most(2_000) // 2
    with pinging(run, cap=cap, sessions=sessions, delay_ms=_SLOW_MS) as (stage, worker, urls):
        plain = _plain_worker(stage, urls["alpha"])
        _ping_by_tasks(stage, plain, 4)
        theirs = _ping_by_tasks(stage, plain, tasks)
        stage.stop(plain)
        ours = ping_all(stage, worker, sessions)
        rates = ours.pings / ours.wall, theirs.pings / theirs.wall
        say(f"tasks, {_SLOW_MS} ms: {rates[0]:,.0f} pings/s, {rates[1]:,.1f} by tasks")
    yield Figure(
        name="tasks/500ms",
        title=f"pings per second of one process ÷ one Celery task per ping, prefork 2, {_SLOW_MS} ms",
        value=rates[0] / rates[1],
        basis=Basis.WALL,
        peer="Celery, prefork 2",
        must=200,
        goal=400,
        absolute={
            "pings per s": rates[0],
            "by tasks per s": rates[1],
            "pings per CPU-s": ours.per_cpu,
        },
    )


def _plain_worker(stage: Stage, upstream: str) -> Running:
    stage.env |= {
        "BENCH_BROKER": stage.broker_url,
        "BENCH_UPSTREAM": upstream,
        "BENCH_DATABASE": stage.database_url.replace("+psycopg", ""),
        "PYTHONWARNINGS": "ignore",
        "USER": os.environ.get("USER", "root"),
    }
    how = ("--pool", "prefork", "--concurrency", "2", "--without-gossip", "--without-mingle", "-l", "info")
    command = ("-m", "celery", "-A", "tests.bench.peers.plain_celery", "worker", *how)
    running = stage.run(sys.executable, *command, name="plain")
    eventually(lambda: " ready." in running.text(), "the plain worker")
    return running


def _ping_by_tasks(stage: Stage, worker: Running, tasks: int) -> Round:
    mark, server_cpu = stage.value("SELECT clock_timestamp()"), stage.server_cpu()
    stage.forget_counts()
    processes = pids([worker]) | below(worker.pid)
    with measured(processes) as spent, sender(stage.broker_url) as app:
        for n in range(tasks):
            app.send_task("plain.ping", kwargs={"session_id": f"s{n:07}"})
        eventually(lambda: stage.value(DONE, mark) >= tasks, "every task", _WAIT_LIMIT, every=0.1)
    return Round(
        pings=tasks,
        cpu=spent.cpu,
        wall=spent.wall,
        server_cpu=stage.server_cpu() - server_cpu,
        statements=stage.counts().statements,
    )
