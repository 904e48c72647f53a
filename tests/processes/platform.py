"""A whole platform of real processes: servers, simulator, workers and schedulers, in one directory for each test.

platform.simulate(alpha=…)      # upstream platforms, in a process of their own
platform.start("worker")        # any command of ours; it runs until the test is over
platform.job("account.put", …)  # the outcome, over plain Celery
"""

import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol, TypeVar

import httpx
from celery import Celery
from redis import ConnectionError as ConnectionGone
from redis import RedisError

from orchestrator.rules.states import TERMINAL
from orchestrator.rules.values import Placement, Session
from orchestrator.settings.sockets import private_socket, socket_url
from orchestrator.store.database import Database
from tests.jobs import JobSender
from tests.processes.nursery import Nursery
from tests.waiting import WAIT_LIMIT, Unseen, eventually

T = TypeVar("T")

#: A job that is not answered for this long may be lost: a broker hands messages to workers that have just died.
HEARS_NOTHING = 10.0
#: A policy with which a night passes in seconds.
HASTY: Mapping[str, Any] = {
    "ping_interval_seconds": 0.5,
    "ping_timeout_seconds": 2,
    "start_timeout_seconds": 60,
    "open_timeout_seconds": 3,
    "close_timeout_seconds": 2,
    "resolve_after_seconds": 3,
    "credential_rest_seconds": 0,
    "close_retry_max_seconds": 1,
    "warn_before_stop_seconds": [],
}
BIN = Path(sys.executable).parent
OURS = (sys.executable, "-m", "orchestrator")


class Process(Protocol):
    """A process of the nursery, or of `subprocess`."""

    pid: int

    def poll(self) -> int | None: ...

    def wait(self, timeout: float) -> int: ...


class Running:
    """One process of the platform, the leader of a session of its own as a terminal gives it, and its log."""

    def __init__(self, name: str, process: Process, log: Path) -> None:
        self.name = name
        self.process = process
        self.log = log

    @staticmethod
    def command(name: str, command: Sequence[str], env: Mapping[str, str], directory: Path) -> "Running":
        """Start it as a shell does."""
        path = directory / f"{name}.log"
        with path.open("ab") as log:
            process = subprocess.Popen(
                command, env=dict(env), cwd=directory, stdout=log, stderr=log, start_new_session=True
            )
        return Running(name, process, path)

    @property
    def pid(self) -> int:
        return self.process.pid

    def tree(self) -> set[int]:
        """Return every process that it started and that still lives, itself included."""
        return living_in(self.pid)

    def children(self) -> set[int]:
        """Return the living processes below it."""
        return self.tree() - {self.pid}

    def send_signal(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Send a signal to the leader alone."""
        os.kill(self.pid, number)

    def interrupt(self) -> None:
        """Send Ctrl-C as a terminal does: to the foreground group."""
        os.killpg(self.pid, signal.SIGINT)

    def wait(self, wait_limit: float = WAIT_LIMIT) -> int:
        """Return its exit code."""
        return self.process.wait(wait_limit)

    def kill_all(self) -> None:
        """Kill -9 the whole tree at once, as a loss of power does."""
        for pid in sorted(self.tree()):
            _kill(pid)
        self.process.wait(WAIT_LIMIT)

    def text(self) -> str:
        """Return its log so far."""
        return self.log.read_text(errors="replace")


class Simulated:
    """The simulator's control endpoint."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._http = httpx.Client(base_url=url, timeout=WAIT_LIMIT, trust_env=False)

    def get(self, what: str, **params: Any) -> Any:
        """Return `log`, `sessions`, `open` or `report`."""
        return self._http.get(f"/control/{what}", params=params).raise_for_status().json()

    def fault(self, name: str, *, times: int | None = None, params: Any = None, **where: Any) -> None:
        """Plant this fault from now on."""
        spec = {"name": name, "times": times, "params": params or {}, **where}
        self._http.post("/control/faults", json=spec).raise_for_status()

    def clear_faults(self) -> None:
        """Remove all faults."""
        self._http.delete("/control/faults").raise_for_status()

    def calls(self, **wanted: Any) -> list[dict[str, Any]]:
        """Return the calls that the platform received, oldest first."""
        calls: list[dict[str, Any]] = self.get("log", **wanted)
        return calls

    def close(self) -> None:
        self._http.close()


class Jobs:
    """Another service: a plain Celery application that has two URLs."""

    def __init__(self, broker_url: str, result_url: str | None = None) -> None:
        self._broker_url, self._result_url = broker_url, result_url or broker_url
        self._app = self._started()

    def send(self, name: str, /, task_id: str | None = None, **kwargs: Any) -> str:
        """Enqueue `orchestrator.{name}`; return the id under which its outcome is found."""
        task_id = task_id or str(uuid.uuid4())
        try:
            self._app.send_task(
                f"orchestrator.{name}", kwargs=kwargs, task_id=task_id, queue="orchestrator.jobs"
            )
        except RuntimeError as error:  # after 20 s without Redis, Celery says that it must be started again
            self._app = self._started()
            raise ConnectionGone(str(error)) from error
        return task_id

    def forget(self, task_id: str) -> None:
        """Drop the outcome that the broker keeps: a repeated job is answered from the inbox."""
        self._app.backend.forget(task_id)

    def wake(self, name: str, queue: str) -> None:
        """Send a wake-up, as a scheduler does."""
        self._app.send_task(name, queue=queue, ignore_result=True)

    def outcome(self, task_id: str, wait_limit: float = WAIT_LIMIT) -> dict[str, Any]:
        """Return the outcome of a job."""
        meta = eventually(lambda: self._look(task_id), f"the outcome of job {task_id}", wait_limit)
        assert meta is not None
        assert meta["status"] == "SUCCESS", meta
        outcome: dict[str, Any] = meta["result"]
        return outcome

    def close(self) -> None:
        self._app.close()

    def _started(self) -> Celery:
        app = Celery(broker=self._broker_url, backend=self._result_url, set_as_current=False)
        app.conf.update(broker_connection_timeout=2, redis_socket_timeout=5)
        return app

    def _look(self, task_id: str) -> Mapping[str, Any] | None:
        try:
            meta = self._app.backend.get_task_meta(task_id)
        except RedisError:  # a test stopped it, and starts it again
            return None
        return meta if meta["status"] in {"SUCCESS", "FAILURE"} else None


class Platform(JobSender):
    """All processes of one test; `with` starts and removes them."""

    def __init__(
        self, directory: Path, nursery: Nursery, *, database_url: str, broker_url: str | None = None
    ) -> None:
        """Without `broker_url`: the private broker of `orchestrator up` in this directory."""
        self.directory = directory
        self._nursery = nursery
        directory.mkdir(parents=True, exist_ok=True)
        self.processes: dict[str, Running] = {}
        self.database = Database(database_url)
        self.env = {
            "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}",
            "HOME": str(directory),
            "PYTHONUNBUFFERED": "1",
            "ORCHESTRATOR_DATABASE_URL": database_url,
        }
        if broker_url:
            self.env["ORCHESTRATOR_BROKER_URL"] = broker_url
        self._broker_url = broker_url or socket_url(private_socket(directory / ".orchestrator"))
        self._jobs: Jobs | None = None
        self._simulator: Simulated | None = None
        self._upstreams: dict[str, dict[str, Any]] = {}

    def __enter__(self) -> "Platform":
        return self

    def __exit__(self, *error: object) -> None:
        for pid in sorted(self.pids()):
            _kill(pid)
        for running in self.processes.values():
            running.process.wait(WAIT_LIMIT)
        eventually(lambda: not self.pids(), "the end of every process")
        for held in (self._jobs, self._simulator):
            if held is not None:
                held.close()
        self.database.dispose()

    # processes

    def start(
        self, *arguments: str, name: str | None = None, module: str = "orchestrator.cli.main", **env: str
    ) -> Running:
        """Start `orchestrator ARGUMENTS`, or the main of another module; return at once."""
        name = name or arguments[0]
        log = self.directory / f"{name}.log"
        log.touch()  # a reader that comes before the child has begun finds it empty
        process = self._nursery.start(arguments, {**self.env, **env}, self.directory, log, module)
        return self._runs(Running(name, process, log))

    def run(self, command: Sequence[str], *, name: str) -> Running:
        """Run any command in this environment; return at once."""
        return self._runs(Running.command(name, command, self.env, self.directory))

    def pids(self) -> set[int]:
        """Return every living process that works in this directory: ours, and the private Valkey, which is no child."""
        return {pid for pid in _pids() if _works_below(pid, self.directory)}

    def tails(self) -> Iterator[tuple[str, str]]:
        """Yield the ends of all logs, for the message of a failed test."""
        for log in sorted(self.directory.rglob("*.log")):
            yield log.name, "\n".join(log.read_text(errors="replace").splitlines()[-60:])

    def _runs(self, running: Running) -> Running:
        self.processes[running.name] = running
        return running

    # upstream platforms and configuration

    @property
    def simulator(self) -> Simulated:
        assert self._simulator is not None, "simulate() first"
        return self._simulator

    def simulate(self, **upstreams: Mapping[str, Any]) -> Simulated:
        """Simulate upstreams by name: `kind`, `keys`, `models`, and further options of the simulator."""
        self._upstreams = {name: dict(spec) for name, spec in upstreams.items()}
        preload, ready = self.directory / "upstreams.json", self.directory / "simulator.json"
        preload.write_text(json.dumps({"upstreams": self._upstreams}))
        command = [sys.executable, "-m", "orchestrator.simulator"]
        self.run([*command, "--preload", str(preload), "--ready-file", str(ready)], name="simulator")
        eventually(ready.exists, "the simulator")
        self._simulator = Simulated(json.loads(ready.read_text())["url"])
        return self._simulator

    def configure(
        self,
        policy: Mapping[str, Any] | None = None,
        plans: Mapping[str, Mapping[str, Any]] | None = None,
        **providers: Mapping[str, Any],
    ) -> None:
        """Write orchestrator.toml: every simulated upstream is a provider; `providers` adds to theirs."""
        tables: dict[str, Mapping[str, Any]] = {"policy": {**HASTY, **(policy or {})}}
        tables |= {f"plans.{name}": plan for name, plan in (plans or {}).items()}
        for upstream in self.simulator.get("upstreams"):
            name, refs = upstream["name"], []
            for n, key in enumerate(self._upstreams[name]["keys"], 1):
                self.env[f"{name.upper()}_{n}"] = key
                refs.append(f"env:{name.upper()}_{n}")
            common = {"driver": upstream["kind"], "base_url": upstream["base_url"], "credentials": refs}
            tables[f"providers.{name}"] = common | dict(providers.get(name, {}))
        (self.directory / "orchestrator.toml").write_text(
            "\n".join(map(_as_toml, *zip(*tables.items(), strict=True)))
        )

    # jobs

    @property
    def jobs(self) -> Jobs:
        if self._jobs is None:
            self._jobs = Jobs(self._broker_url)
        return self._jobs

    def job(self, name: str, /, *, task_id: str | None = None, **kwargs: Any) -> dict[str, Any]:
        """Return the outcome of `orchestrator.{name}`; like any client without an answer, it asks again under the same
        id."""
        task_id = self.jobs.send(name, task_id, **kwargs)
        for _ in range(int(WAIT_LIMIT / HEARS_NOTHING)):
            try:
                return self.jobs.outcome(task_id, HEARS_NOTHING)
            except Unseen:
                self.jobs.send(name, task_id, **kwargs)
        return self.jobs.outcome(task_id)

    # seeing

    def session(self, session_id: str) -> Session:
        """Return the session's row."""
        with self.database.reading() as tx:
            session = tx.sessions.get(session_id)
        assert session is not None
        return session

    def sessions(self, account_id: str = "acme") -> list[Session]:
        """Return the account's sessions."""
        with self.database.reading() as tx:
            return list(tx.sessions.listed(account_id=account_id, limit=10_000))

    def placements(self, session_id: str) -> list[Placement]:
        """Return its placements, oldest first."""
        with self.database.reading() as tx:
            return list(tx.placements.of_session(session_id))

    def until_running(self, *session_ids: str) -> None:
        """Wait until these can be used."""
        for session_id in session_ids:
            eventually(lambda: self.session(session_id).state == "running", f"{session_id} runs")  # noqa: B023

    def until_over(self, *session_ids: str) -> None:
        """Wait until these are proven closed."""
        for session_id in session_ids:
            eventually(lambda: self.session(session_id).state in TERMINAL, f"{session_id} is over")  # noqa: B023


def openai(*keys: str, models: Sequence[str] = ("llama-3",)) -> dict[str, Any]:
    """Return an always-on upstream."""
    return {"kind": "openai", "keys": list(keys), "models": list(models)}


def morpheus(*keys: str, models: Sequence[str] = ("moral-1",)) -> dict[str, Any]:
    """Return a gateway with one session slot a key."""
    return {"kind": "morpheus", "keys": list(keys), "models": list(models)}


def _as_toml(name: str, values: Mapping[str, Any]) -> str:
    return "\n".join([f"[{name}]", *(f"{key} = {_value(value)}" for key, value in values.items()), ""])


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key} = {_value(below)}" for key, below in value.items()) + "}"
    return json.dumps(value)


def living_in(session: int) -> set[int]:
    """Return every living process that this leader and those below it have started."""
    return {pid for pid in _pids() if _session_of(pid) == session}


def _pids() -> Iterator[int]:
    """Yield the id of every process that lives; a zombie has ended and only waits to be reaped."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and _stat(int(entry.name))[:1] not in ([], ["Z"]):
            yield int(entry.name)


def _stat(pid: int) -> list[str]:
    """Return state, parent, group, session … from the kernel; empty where it has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _session_of(pid: int) -> int:
    stat = _stat(pid)
    return int(stat[3]) if stat else 0


def _works_below(pid: int, directory: Path) -> bool:
    try:
        return Path(os.readlink(f"/proc/{pid}/cwd")).is_relative_to(directory.resolve())
    except OSError:
        return False


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
