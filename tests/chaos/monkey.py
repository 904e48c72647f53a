"""Break one thing after another, heal it, and record when; the same seed breaks the same things in that order."""

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from tests.chaos.proxy import Proxy
from tests.chaos.servers import REFUSALS, BreakablePostgres, Valkey
from tests.clocks import SKEWED, Clock
from tests.processes.platform import Platform, Running

#: How often each trouble is chosen.
TROUBLES = {
    "kill -9 of a worker and all its processes": 3,
    "kill -9 of one kind of work": 3,
    "kill -9 of a scheduler": 2,
    "restart of a worker (SIGTERM)": 2,
    "pause of a worker beyond its leases": 2,
    "pause of a scheduler beyond its lease": 1,
    "kill -9 of Redis": 2,
    "kill -9 of Redis, its data lost": 2,
    "Redis gone for long": 1,
    "Redis refuses writes": 2,
    "every scheduler dead": 1,
    "every machine's clock jumps": 2,
    "the clock of PostgreSQL's host jumps": 1,
    "restart of PostgreSQL (fast)": 1,
    "restart of PostgreSQL (immediate)": 1,
    "kill -9 of PostgreSQL": 1,
    "connections to PostgreSQL cut": 2,
    "connections to Redis cut": 2,
    "connections to the platforms cut": 3,
    "connections to the platforms stalled": 1,
}
#: Stops need neither messages nor schedulers, nor a machine's clock: these troubles excuse no late stop.
EXCUSES_NO_STOP = frozenset(
    {
        "kill -9 of a scheduler",
        "pause of a scheduler beyond its lease",
        "every scheduler dead",
        "kill -9 of Redis",
        "kill -9 of Redis, its data lost",
        "connections to Redis cut",
        "Redis gone for long",
        "Redis refuses writes",
        "every machine's clock jumps",
        "the clock of PostgreSQL's host jumps",
    }
)
#: Seconds: longer than any lease of the hasty policy; how long a server stays down; between two troubles.
PAUSE, DOWN, REST = 12.0, (0.5, 3.0), (0.5, 2.0)
#: Seconds for which Redis is gone for long, for which it refuses writes, and for which no scheduler runs.
GONE, REFUSES, UNSCHEDULED = 20.0, (5.0, 8.0), 10.0
#: Seconds by which the wall clock of a machine may be off, either way; for how long the database's host's is.
CLOCKS_DIFFER, JUMPED = 7200.0, 6.0
#: Between groups of this many troubles there is peace for this long: no late stop is excused then. Seconds.
PEACE_EVERY, PEACE = 6, 12.0
#: Work after a trouble may be late for this long: processes start again, connections are opened again.
AFTERWARDS = timedelta(seconds=10)


@dataclass
class Monkey:
    """Breaks what it is given."""

    platform: Platform
    valkey: Valkey
    postgres: BreakablePostgres
    to_database: Proxy
    to_broker: Proxy
    to_platforms: Proxy
    rng: random.Random
    done: Counter[str] = field(default_factory=Counter)
    troubles: list[tuple[datetime, datetime]] = field(default_factory=list)
    """When a stop may be late, and for how long."""
    flushes: list[datetime] = field(default_factory=list)
    """When Redis lost what it held."""
    story: list[str] = field(default_factory=list)
    clocks: dict[str, Clock] = field(default_factory=dict)
    """The clock of the machine of each worker and scheduler."""
    _copies: Counter[str] = field(default_factory=Counter)

    def run(self, seconds: float) -> None:
        """Start each trouble at least once while there is time, then at random."""
        end = time.monotonic() + seconds
        waiting = sorted(TROUBLES)
        self.rng.shuffle(waiting)
        while time.monotonic() < end:
            name = waiting.pop() if waiting else self.rng.choices(list(TROUBLES), list(TROUBLES.values()))[0]
            begun = datetime.now(UTC)
            self.story.append(f"{begun:%H:%M:%S} {name}")
            self._acts[name]()
            self.done[name] += 1
            if name not in EXCUSES_NO_STOP:
                self.troubles.append((begun, datetime.now(UTC) + AFTERWARDS))
            peace = sum(self.done.values()) % PEACE_EVERY == 0
            time.sleep(PEACE if peace else self.rng.uniform(*REST))

    def unexcused(self, began: datetime, ended: datetime) -> list[tuple[datetime, datetime]]:
        """Return when no trouble excuses a late stop."""
        free, since = [], began
        for begun, over in sorted(self.troubles):
            if begun > since:
                free.append((since, begun))
            since = max(since, over)
        return [*free, (since, ended)] if since < ended else free

    def heal(self) -> None:
        """Start everything that should run."""
        for kind in ("worker", "scheduler"):
            for running in self.running(kind, alive=False):
                self._again(running)

    def start(self, kind: str, number: int) -> Running:
        """Start `orchestrator KIND`, the first of this number, on a machine with a separate clock."""
        name = f"{kind}-{number}"
        self.clocks[name] = Clock(self.platform.directory / f"{name}.clock")
        self._set(self.clocks[name])
        return self._start(name, name)

    @property
    def _acts(self) -> dict[str, Callable[[], None]]:
        return {
            "kill -9 of a worker and all its processes": lambda: self._kill("worker"),
            "kill -9 of one kind of work": self._kill_a_child,
            "kill -9 of a scheduler": lambda: self._kill("scheduler"),
            "restart of a worker (SIGTERM)": self._restart,
            "pause of a worker beyond its leases": lambda: self._pause("worker"),
            "pause of a scheduler beyond its lease": lambda: self._pause("scheduler"),
            "kill -9 of Redis": lambda: self._kill_redis(lost=False),
            "kill -9 of Redis, its data lost": lambda: self._kill_redis(lost=True),
            "Redis gone for long": lambda: self._kill_redis(lost=False, seconds=GONE),
            "Redis refuses writes": self._refuse_writes,
            "every scheduler dead": self._kill_every_scheduler,
            "every machine's clock jumps": self._jump,
            "the clock of PostgreSQL's host jumps": self._jump_of_database,
            "restart of PostgreSQL (fast)": lambda: self._stop_postgres("fast"),
            "restart of PostgreSQL (immediate)": lambda: self._stop_postgres("immediate"),
            "kill -9 of PostgreSQL": lambda: self._stop_postgres("kill"),
            "connections to PostgreSQL cut": self.to_database.cut,
            "connections to Redis cut": self.to_broker.cut,
            "connections to the platforms cut": self.to_platforms.cut,
            "connections to the platforms stalled": self._stall,
        }

    def running(self, kind: str, *, alive: bool = True) -> list[Running]:
        """Return the newest of each number."""
        newest = {name.partition(".")[0]: running for name, running in self.platform.processes.items()}
        mine = [running for name, running in newest.items() if name.startswith(f"{kind}-")]
        return [running for running in mine if (running.process.poll() is None) is alive]

    def _one(self, kind: str) -> Running:
        self.heal()
        return self.rng.choice(self.running(kind))

    def _again(self, running: Running) -> None:
        number = running.name.partition(".")[0]
        self._copies[number] += 1
        self._start(number, f"{number}.{self._copies[number]}")

    def _start(self, number: str, name: str) -> Running:
        kind, env = number.partition("-")[0], self.clocks[number].of_ours()
        return self.platform.start(kind, name=name, module=SKEWED, **env)

    def _set(self, clock: Clock) -> None:
        clock.is_off(self.rng.uniform(-CLOCKS_DIFFER, CLOCKS_DIFFER))

    def _jump(self) -> None:
        for number in sorted(self.clocks):
            self._set(self.clocks[number])

    def _jump_of_database(self) -> None:
        self._set(self.postgres.clock)
        time.sleep(JUMPED)
        self.postgres.clock.is_off(0)

    def _kill(self, kind: str) -> None:
        victim = self._one(kind)
        victim.kill_all()
        time.sleep(self.rng.uniform(*DOWN))
        self._again(victim)

    def _kill_a_child(self) -> None:
        children = sorted(self._one("worker").children())
        if children:
            os.kill(self.rng.choice(children), signal.SIGKILL)

    def _restart(self) -> None:
        victim = self._one("worker")
        victim.send_signal(signal.SIGTERM)
        victim.wait()
        self._again(victim)

    def _pause(self, kind: str) -> None:
        victim = self._one(kind)
        paused = victim.tree()
        for pid in sorted(paused):
            os.kill(pid, signal.SIGSTOP)
        time.sleep(PAUSE)
        for pid in sorted(paused & victim.tree()):
            os.kill(pid, signal.SIGCONT)

    def _kill_every_scheduler(self) -> None:
        self.heal()
        victims = self.running("scheduler")
        for victim in victims:
            victim.kill_all()
        time.sleep(UNSCHEDULED)
        for victim in victims:
            self._again(victim)

    def _refuse_writes(self) -> None:
        with self.valkey.refusing_writes(self.rng.choice(REFUSALS)):
            time.sleep(self.rng.uniform(*REFUSES))

    def _kill_redis(self, *, lost: bool, seconds: float | None = None) -> None:
        self.valkey.kill()
        if lost:
            self.flushes.append(datetime.now(UTC))
            self.valkey.forget()
        time.sleep(self.rng.uniform(*DOWN) if seconds is None else seconds)
        self.valkey.start()

    def _stop_postgres(self, mode: str) -> None:
        self.postgres.stop(mode)
        time.sleep(self.rng.uniform(*DOWN))
        self.postgres.start()

    def _stall(self) -> None:
        self.to_platforms.stall()
        time.sleep(self.rng.uniform(*DOWN) + 2)
        self.to_platforms.heal()
