"""Creates per CPU-second ÷ Celery tasks that do nothing, each in one process and over the same broker."""

import sys
from collections.abc import Iterator

from redis import Redis

from tests.bench.figures import Basis, Better, Figure
from tests.bench.peers.plain_celery import sender as plain_sender
from tests.bench.run import Run, middle, say
from tests.bench.seeds import Seeds, seed
from tests.bench.stage import Stage, pids
from tests.bench.usage import measured
from tests.processes.platform import Running
from tests.waiting import eventually

_PATIENCE = 600.0
_CREATED = "SELECT count(*) FROM sessions WHERE id LIKE %s /* of the benchmark */"


def measure(run: Run) -> Iterator[Figure]:
    """Measure by turns."""
    count = run.size.rows(1_000, 300)
    ours, theirs, statements, rows = [], [], [], []
    with run.stage("creates") as stage:
        url = "http://127.0.0.1:9/v1"
        stage.configure({"alpha": {"base_url": url}})
        seed(stage, Seeds(sessions=100, accounts=count, providers={"alpha": url}))
        worker, plain = stage.worker("control"), _plain_worker(stage)
        _create(stage, worker, 50, "warm")
        _do_nothing(stage, plain, 50)
        for n in range(run.size.rounds):
            theirs.append(_do_nothing(stage, plain, 5 * count))
            stage.forget_counts()
            ours.append(_create(stage, worker, count, f"round{n}"))
            counts = stage.counts()
            statements.append(counts.statements / count)
            rows.append(counts.rows / count)
            say(
                f"creates: {ours[-1]:,.0f} per CPU-s, {statements[-1]:.1f} statements; no-op tasks {theirs[-1]:,.0f}"
            )
    yield Figure(
        name="creates/noop",
        title="creates per CPU-s ÷ no-op Celery tasks, one process, same broker",
        value=middle([our / other for our, other in zip(ours, theirs, strict=True)]),
        peer="Celery, threads, with results",
        must=0.25,
        goal=0.4,
        absolute={"creates per CPU-s": middle(ours), "no-op tasks per CPU-s": middle(theirs)},
    )
    yield Figure(
        name="creates/statements",
        title="statements for a create, with those of the ticks meanwhile",
        value=middle(statements),
        basis=Basis.STATEMENTS,
        better=Better.LESS,
        must=10,
        goal=10,
    )
    yield Figure(
        name="creates/rows",
        title="rows read and written for a create",
        value=middle(rows),
        basis=Basis.ROWS,
        better=Better.LESS,
    )


def _plain_worker(stage: Stage) -> Running:
    stage.env["BENCH_BROKER"] = stage.broker_url
    how = ("--pool", "threads", "--concurrency", "24", "--without-gossip", "--without-mingle", "-l", "info")
    command = ("-m", "celery", "-A", "tests.bench.peers.plain_celery", "worker", *how)
    running = stage.run(sys.executable, *command, name="plain")
    eventually(lambda: " ready." in running.text(), "the plain worker")
    return running


def _create(stage: Stage, worker: Running, count: int, name: str) -> float:
    """Return the creates of a CPU-second."""
    with measured(pids([worker])) as spent:
        for n in range(count):
            wanted = {"account_id": f"a{n + 1}", "model_id": "llama", "session_id": f"{name}-{n}"}
            stage.client.send("orchestrator.session.create", wanted)
        eventually(lambda: stage.value(_CREATED, f"{name}-%") >= count, "every session", _PATIENCE, every=0.2)
    return count / spent.cpu


def _do_nothing(stage: Stage, worker: Running, count: int) -> float:
    """Return the tasks of a CPU-second."""
    with Redis.from_url(stage.broker_url) as redis, plain_sender(stage.broker_url) as app:
        before = int(redis.dbsize())
        with measured(pids([worker])) as spent:
            for n in range(count):
                arguments = {"account_id": f"a{n + 1}", "model_id": "llama", "session_id": f"none-{n}"}
                app.send_task("plain.nothing", kwargs=arguments)
            eventually(lambda: int(redis.dbsize()) >= before + count, "every task", _PATIENCE, every=0.2)
    return count / spent.cpu
