"""One database with its broker, configuration and processes of ours, and what they have done so far."""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from orchestrator import wiring
from orchestrator.client.sender import JobClient
from orchestrator.flows.engine.services import Services
from orchestrator.settings import SecretStore, Settings
from orchestrator.store.database import Database
from tests.bench.servers import CountingServer
from tests.bench.usage import below, cpu_seconds
from tests.processes.platform import Jobs, Running, _as_toml
from tests.servers import Postgres, valkey
from tests.waiting import WAIT_LIMIT, eventually

#: The secret of every provider with one key, and what its variable is called.
KEY, KEY_VARIABLE = "sk-bench", "BENCH_KEY"
#: Only what a line of the table asks for is due while it is measured.
UNHURRIED: Mapping[str, Any] = {
    "ping_interval_seconds": 3600,
    "ping_timeout_seconds": 30,
    "close_timeout_seconds": 30,
    "warn_before_stop_seconds": [],
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Counts:
    """What a database has executed between two readings."""

    statements: int
    rows: int
    """Returned or changed by statements."""


@dataclass
class Stage:
    """Everything that a line of the table uses; `stage` makes it."""

    directory: Path
    server: CountingServer
    database_url: str
    broker_url: str
    env: dict[str, str] = field(default_factory=dict)
    _running: dict[str, Running] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.env |= {
            "PATH": os.environ["PATH"],
            "HOME": str(self.directory),
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "PYTHONUNBUFFERED": "1",
            "ORCHESTRATOR_DATABASE_URL": self.database_url,
            "ORCHESTRATOR_BROKER_URL": self.broker_url,
            KEY_VARIABLE: KEY,
        }
        self.database = Database(self.database_url)
        self.jobs = Jobs(self.broker_url)
        self.client = JobClient(self.broker_url, self.broker_url)
        plain = self.database_url.replace("+psycopg", "")
        self.sql = psycopg.connect(plain, autocommit=True)
        self.sql.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")

    def configure(
        self,
        providers: Mapping[str, Mapping[str, Any]],
        policy: Mapping[str, Any] | None = None,
        plans: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        """Write orchestrator.toml. A provider without credentials has the one key."""
        tables: dict[str, Mapping[str, Any]] = {"policy": {**UNHURRIED, **(policy or {})}}
        tables |= {f"plans.{name}": plan for name, plan in (plans or {}).items()}
        for name, given in providers.items():
            key = {"credentials": [f"env:{KEY_VARIABLE}"], "driver": "openai"}
            tables[f"providers.{name}"] = {**key, **given}
        text = "\n".join(_as_toml(name, values) for name, values in tables.items())
        (self.directory / "orchestrator.toml").write_text(text)

    def start(self, *arguments: str) -> Running:
        """Start `orchestrator ARGUMENTS` as a shell does; return once it is there."""
        return self.run(sys.executable, "-m", "orchestrator", *arguments, name="-".join(arguments))

    def worker(self, kind: str) -> Running:
        """Start a worker of one kind of work; return once it has reported that it lives."""
        running = self.start("worker", "--pool", kind)
        eventually(lambda: self._lives(running, kind), f"the worker {kind}", WAIT_LIMIT)
        return running

    def run(self, *command: str, name: str) -> Running:
        """Run any command in this environment; return at once."""
        running = Running.command(name, command, self.env, self.directory)
        self._running[name] = running
        return running

    def stop(self, running: Running) -> None:
        """End a process and all below it."""
        running.kill_all()
        self._running.pop(running.name, None)

    def wake(self, step: str, kind: str | None = None) -> None:
        """Send a wake-up, as a scheduler does."""
        self.jobs.wake(f"orchestrator.tick.{step}", f"orchestrator.{kind or step}")

    def value(self, query: str, *parameters: Any) -> Any:
        """Return the one value of a query."""
        row = self.sql.execute(query.encode(), parameters).fetchone()
        assert row is not None
        return row[0]

    def vacuum(self) -> None:
        """Give the planner its statistics and the tables their free space."""
        self.sql.execute("VACUUM ANALYZE")

    def forget_counts(self) -> None:
        """Count statements from zero."""
        self.sql.execute("SELECT pg_stat_statements_reset()")

    def counts(self) -> Counts:
        """Return what all statements since then have done, without those of this object."""
        ours = "WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())"
        others = (
            f"{ours} AND query NOT LIKE '%%of the benchmark%%' AND query NOT LIKE '%%pg_stat_statements%%'"
        )
        row = self.sql.execute(
            f"SELECT coalesce(sum(calls), 0), coalesce(sum(rows), 0) FROM pg_stat_statements {others}".encode(),
            (),
        ).fetchone()
        assert row is not None
        return Counts(statements=int(row[0]), rows=int(row[1]))

    def server_cpu(self) -> float:
        """Return the CPU-seconds of the database server so far."""
        return cpu_seconds(below(self.server.pid))

    def close(self) -> None:
        """End every process, and close all connections."""
        for running in [*self._running.values()]:
            self.stop(running)
        self.sql.close()
        self.jobs.close()
        self.database.dispose()

    def _lives(self, running: Running, kind: str) -> bool:
        assert running.process.poll() is None, f"the worker ended:\n{running.text()[-3000:]}"
        query = "SELECT count(*) FROM workers WHERE kind = %s /* of the benchmark */"
        return bool(self.value(query, kind))


@contextmanager
def stage(directory: Path, server: CountingServer, postgres: Postgres) -> Iterator[Stage]:
    """Make one, with a fresh database and a broker of its own."""
    directory.mkdir(parents=True, exist_ok=True)
    broker = directory / "valkey"
    broker.mkdir(exist_ok=True)
    with postgres.fresh_database() as url, valkey(broker) as broker_url:
        made = Stage(directory=directory, server=server, database_url=url, broker_url=broker_url)
        try:
            yield made
        finally:
            made.close()


@contextmanager
def services_of(stage: Stage) -> Iterator[Services]:
    """Yield the services of flows in this process, on the database and the configuration of a stage."""
    settings = Settings(
        database_url=stage.database_url,
        broker_url=stage.broker_url,
        config=stage.directory / "orchestrator.toml",
    )
    secrets = SecretStore(environ=stage.env)
    built = wiring.build(settings, wiring.read_configuration(settings), secrets=secrets)
    try:
        yield built.services
    finally:
        built.close()


def pids(running: Sequence[Running]) -> set[int]:
    """Return all processes of these commands."""
    return {pid for one in running for pid in one.tree()}
