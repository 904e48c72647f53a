"""Creates per CPU-second ÷ Celery tasks that do nothing, each in one process and over the same broker; and creates
over the HTTP API ÷ those by jobs."""

import sys
from collections.abc import Iterator

from redis import Redis

from orchestrator.flows.operations.tokens import create_token
from orchestrator.rules.values import Scope
from tests.bench.figures import Basis, Better, Figure
from tests.bench.peers.plain_celery import sender as plain_sender
from tests.bench.run import Run, middle, peer, say
from tests.bench.seeds import Seeds, seed
from tests.bench.stage import Stage, pids
from tests.bench.usage import measured
from tests.processes.platform import Running
from tests.waiting import eventually, free_port

_WAIT_LIMIT = 600.0
#: Connections of the client of the API.
_CONNECTIONS = 8
_CREATED = "SELECT count(*) FROM sessions WHERE id LIKE %s /* of the benchmark */"
_WAITING = "SELECT count(*) FROM outbox WHERE delivered_at IS NULL /* of the benchmark */"


def measure(run: Run) -> Iterator[Figure]:
    """Measure by turns."""
    count = run.size.rows(1_000, 300)
    ours, theirs, over_http, statements, rows = [], [], [], [], []
    with run.stage("creates") as stage:
        url = "http://127.0.0.1:9/v1"
        stage.configure({"alpha": {"base_url": url}})
        seed(stage, Seeds(sessions=100, accounts=count, providers={"alpha": url}))
        worker, plain, api = stage.worker("control"), _plain_worker(stage), ApiOfBench(stage)
        _create(stage, worker, 50, "warm")
        api.create(50, "warmhttp")
        _do_nothing(stage, plain, 50)
        for n in range(run.size.rounds):
            theirs.append(_do_nothing(stage, plain, 5 * count))
            stage.forget_counts()
            ours.append(_create(stage, worker, count, f"round{n}"))
            counts = stage.counts()
            statements.append(counts.statements / count)
            rows.append(counts.rows / count)
            over_http.append(api.create(count, f"http{n}"))
            say(
                f"creates: {ours[-1]:,.0f} per CPU-s, {statements[-1]:.1f} statements; over HTTP {over_http[-1]:,.0f};"
                f" no-op tasks {theirs[-1]:,.0f}"
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
        name="creates/api",
        title="creates over the HTTP API per CPU-s of its process ÷ by jobs",
        value=middle([http / job for http, job in zip(over_http, ours, strict=True)]),
        peer="creates by jobs, one control process",
        must=1.0,
        goal=1.2,
        absolute={"over HTTP per CPU-s": middle(over_http), "by jobs per CPU-s": middle(ours)},
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


class ApiOfBench:
    """A process of the API, with a token."""

    def __init__(self, stage: Stage) -> None:
        self._stage, self._port = stage, free_port()
        stage.env["ORCHESTRATOR_API_PORT"] = str(self._port)
        self._token = create_token(stage.database, "bench", [Scope.OPERATE]).text
        self._running = stage.start("api")
        eventually(lambda: "HTTP API at" in self._running.text(), "the API")

    def create(self, count: int, name: str) -> float:
        """Return the creates of a CPU-second. The workers are left with nothing that these have caused."""
        with measured(pids([self._running])) as spent:
            said = peer("api_creates", self._port, count, name, _CONNECTIONS, given=self._token)
        assert not said["refused"], f"{said['created']} of {count} were created over HTTP: {said['refused']}"
        eventually(
            lambda: not self._stage.value(_WAITING), "the delivery of every event", _WAIT_LIMIT, every=0.2
        )
        return count / spent.cpu


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
        eventually(
            lambda: stage.value(_CREATED, f"{name}-%") >= count, "every session", _WAIT_LIMIT, every=0.2
        )
    return count / spent.cpu


def _do_nothing(stage: Stage, worker: Running, count: int) -> float:
    """Return the tasks of a CPU-second."""
    with Redis.from_url(stage.broker_url) as redis, plain_sender(stage.broker_url) as app:
        before = int(redis.dbsize())
        with measured(pids([worker])) as spent:
            for n in range(count):
                arguments = {"account_id": f"a{n + 1}", "model_id": "llama", "session_id": f"none-{n}"}
                app.send_task("plain.nothing", kwargs=arguments)
            eventually(lambda: int(redis.dbsize()) >= before + count, "every task", _WAIT_LIMIT, every=0.2)
    return count / spent.cpu
