"""A whole simulated world: one clock, one store, the platforms, the workers, the broker.

async with its own time:
    await universe.job("session.create", account_id="acme", model_id="alpha")
    await universe.drive(until=3600)
"""

import asyncio
import json
import random
import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from orchestrator.flows.jobs.perform import perform
from orchestrator.rules.states import Step
from orchestrator.store.database import Database, StoreError
from orchestrator.tasks.runner import JITTER, LOOK_EVERY
from orchestrator.tasks.ticks import TICKS, TickContext
from orchestrator.tasks.wake_ups import OF_STEP
from tests.simulation.evidence import Evidence, gather
from tests.simulation.kernel import START, Killed, VirtualLoop
from tests.simulation.machines import Machines
from tests.simulation.surroundings import Surroundings
from tests.simulation.worker import ProcessFaults, Worker
from tests.upstreams import KIND, MODEL

#: The last lines of the story, for a seed that fails.
REMEMBERED = 60
#: A tick that found nothing is not repeated each second: only time passes meanwhile. Seconds.
SPACING = (1.0, 1.0, 2.0, 4.0, 8.0)
#: These must never be late.
PROMPT = frozenset({Step.STOP, Step.FUNDS, Step.CLOSE})
#: A stop is due at its instant, whatever comes next: its tick, which comes each second, does not wait for pings.
_DUE = " UNION ALL ".join(
    [
        *(
            f"SELECT next_step, MIN(next_step_at) FROM {table} WHERE next_step IS NOT NULL GROUP BY next_step"
            for table in ("sessions", "placements", "accounts")
        ),
        "SELECT 'stop', MIN(stop_at) FROM sessions WHERE next_step IN ('ping', 'warn') HAVING MIN(stop_at) IS NOT NULL",
    ]
)
#: Ticks that are not about steps, the condition of each, and how often. Seconds.
_UPKEEP: Mapping[str, tuple[str, float]] = {
    "orchestrator.tick.events": ("SELECT 1 FROM outbox WHERE delivered_at IS NULL LIMIT 1", 150),
    "orchestrator.tick.queues": ("SELECT 1 FROM sessions WHERE state = 'queued' LIMIT 1", 30),
    "orchestrator.tick.brakes": ("SELECT 1 FROM brakes LIMIT 1", 15),
    "orchestrator.tick.keys": ("SELECT 1 FROM credentials WHERE paused_since IS NOT NULL LIMIT 1", 60),
    "orchestrator.tick.unserved": ("SELECT 1 FROM placements WHERE state = 'closing' LIMIT 1", 300),
    "orchestrator.tick.balances": ("SELECT 1", 7200),
    "orchestrator.tick.outcomes": ("SELECT 1", 40_000),
    "orchestrator.tick.reconcile": ("SELECT 1", 2400),
    "orchestrator.tick.audit": ("SELECT 1", 14_400),
    "orchestrator.tick.clock": ("SELECT 1 FROM clock", 300),
    "orchestrator.tick.webhooks": ("SELECT 1 FROM webhooks", 5),
}
_ANYTHING_ELSE = ("SELECT 1", 1800.0)


class Universe(Surroundings):
    """The world of one seed. It belongs to the loop in which it is made."""

    def __init__(
        self, loop: VirtualLoop, database: Database, *, seed: int, faults: ProcessFaults, **terms: Any
    ) -> None:
        """`terms`: those of its surroundings."""
        super().__init__(loop, database, seed=seed, **terms)
        self.faults = faults
        self.database = Database(self.url, clock=loop.now)
        self.database.engine = database.engine
        self.rng = self.rng_of("world")
        self.machines = Machines(
            self, random.Random(f"{seed}/machines"), lambda: [one.name for one in self.alive]
        )
        self.uses: list[tuple[str, datetime, datetime]] = []
        self.workers: list[Worker] = []
        self.foreign: set[str] = set()
        self.answers: dict[str, list[Mapping[str, Any]]] = {}
        self.delivered: list[Mapping[str, Any]] = []
        self._eye = sqlite3.connect(str(database.url.database), isolation_level=None)
        self._next: dict[str, float] = {}
        self._idle: Counter[str] = Counter()
        self._looking: set[str] = set()
        self._ids = self.rng_of("jobs")
        self._running: set[asyncio.Task[Any]] = set()

    @property
    def silent(self) -> bool:
        """Return whether wake-ups are lost: runners then look by themselves."""
        return bool(getattr(self.faults, "silent", False))

    # workers

    async def start_worker(self) -> Worker:
        """Start one more process, unless it dies while it starts."""
        worker = Worker(self, f"worker-{self.started + 1}", self.faults, self.machines, self.woken)
        self.workers.append(worker)
        self.started += 1
        try:
            await worker.begin()
        except (Killed, StoreError):
            worker.kill()
        return worker

    @property
    def alive(self) -> list[Worker]:
        return [worker for worker in self.workers if worker.alive]

    def spawn(self, coroutine: Any, name: str) -> "asyncio.Task[Any]":
        """Start a task of the world itself."""
        task = self.loop.create_task(coroutine, name=name)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    def woken(self, steps: frozenset[Step]) -> None:
        """Publish the wake-ups of a commit."""
        for step in () if self.silent else sorted(steps):
            if self.delivers("wake-up"):
                self._next[OF_STEP[step]] = 0.0

    def delivers(self, kind: str) -> bool:
        """Return whether the broker delivers it."""
        arrives = getattr(self.faults, "arrives", None)
        return arrives is None or arrives(self, kind)

    # time

    async def drive(self, until: float) -> None:
        """Let time pass: the workers do what becomes due, each step at its time."""
        while (now := self.seconds) < until:
            nearest = min(until, *self._look(now))
            self.poked.clear()
            try:
                async with asyncio.timeout_at(nearest):
                    await self.poked.wait()
            except TimeoutError:
                continue

    async def rests(self, within: float) -> bool:
        """Wait, while another task drives, until only pings of running sessions are left to do."""
        end = self.seconds + within
        while self.seconds < end:
            await asyncio.sleep(30)
            if not self.pending() and not self._running:
                return True
        return False

    def pending(self) -> list[str]:
        """Return unfinished work: rows between two states, events not delivered, unknown sessions at platforms. Orphans
        that cannot be closed by an id may stay."""
        closable = ", ".join(f"'{name}'" for name in sorted(self.by_id))
        rows = self._eye.execute(
            "SELECT 'session ' || id || ' ' || state FROM sessions WHERE state IN ('queued', 'starting', 'stopping')"
            " UNION ALL SELECT 'placement ' || id || ' ' || state FROM placements"
            " WHERE state IN ('opening', 'unknown', 'closing')"
            f" AND (session_id IS NOT NULL OR provider IN ({closable}))"
            " UNION ALL SELECT 'event ' || type FROM outbox WHERE delivered_at IS NULL"
        )
        return [row[0] for row in rows] + [
            f"unknown session {id_} at {name}"
            for name in sorted(self.by_id)
            for id_ in self.unknown_resources(name)
        ]

    @property
    def by_id(self) -> frozenset[str]:
        """Return the providers that list their sessions and close them by id."""
        drivers = self.workers[0].services.drivers if self.workers else {}
        return frozenset(
            n
            for n, driver in drivers.items()
            if driver.card.status.can_list and driver.card.lifecycle.closes_by_id
        )

    def idle_end(self, session_id: str) -> datetime | None:
        """Return when the idle time of a running session runs out, where that ends it."""
        query = "SELECT idle_ends_at FROM sessions WHERE id = ? AND state = 'running'"
        row = self._eye.execute(query, (session_id,)).fetchone()
        return None if row is None or row[0] is None else datetime.fromisoformat(row[0]).replace(tzinfo=UTC)

    def installation(self) -> str | None:
        """Return the id in our names; None before the first placement."""
        row = self._eye.execute("SELECT id FROM installation").fetchone()
        return row and str(row[0])

    def unknown_resources(self, upstream: str) -> list[str]:
        """Return what is open there without a live row, except foreign sessions."""
        rows = self._eye.execute("SELECT handle, candidate FROM placements WHERE ended_at IS NULL")
        known = {handle for row in rows for handle in row} | self.foreign
        there = (one for one in self.simulator.sessions.open_now() if one.upstream == upstream)
        return [one.id for one in there if one.id not in known]

    def _look(self, now: float) -> list[float]:
        """Send the ticks of what is due; return when to look again, for each."""
        times = []
        for step, at in self._eye.execute(_DUE).fetchall():
            due = (datetime.fromisoformat(at).replace(tzinfo=UTC) - START).total_seconds()
            times.append(self._tick(OF_STEP[Step(step)], now, due, prompt=Step(step) in PROMPT))
        for name in TICKS:
            if name not in OF_STEP.values():
                times += self._upkeep(name, now)
        return times

    def _tick(self, name: str, now: float, due: float, *, prompt: bool) -> float:
        if due > now:
            return due
        if self._next.get(name, 0.0) > now:
            return self._next[name]
        if self.silent and name not in self._looking:  # its runner looks within its pause
            self._looking.add(name)
            self._next[name] = now + self.rng.random() * LOOK_EVERY * (1 + JITTER)
            return self._next[name]
        self._looking.discard(name)
        idle = 0 if prompt else min(self._idle[name], len(SPACING) - 1)
        self._next[name] = now + SPACING[idle]
        self._send_tick(name)
        return self._next[name]

    def _upkeep(self, name: str, now: float) -> list[float]:
        question, every = _UPKEEP.get(name, _ANYTHING_ELSE)
        if self._eye.execute(question).fetchone() is None:
            return []
        if self._next.setdefault(name, now + self.rng.random() * every) <= now:
            self._next[name] = now + every
            self._send_tick(name)
        return [self._next[name]]

    def _send_tick(self, name: str) -> None:
        alive = self.alive
        if alive and (self.silent or self.delivers("tick")):
            self.spawn(self._run_tick(self.rng.choice(alive), name), name)

    async def _run_tick(self, worker: Worker, name: str) -> None:
        short = name.rpartition(".")[2]
        self.note(worker.name, short)
        around = TickContext(services=worker.services, sinks=[_Sink(self)], webhooks=worker.webhooks)
        try:
            tally = await worker.do(short, partial(TICKS[name].run, around))
        except Killed:
            return
        except (StoreError, ConnectionError) as error:
            self.note(worker.name, f"{short}: {type(error).__name__}")
            return
        claimed = getattr(tally, "claimed", tally)
        self._idle[name] = 0 if claimed else self._idle[name] + 1

    # jobs

    async def job(self, name: str, /, **kwargs: Any) -> Mapping[str, Any]:
        """Send it as a client does: again under the same id until its outcome arrives."""
        task_id = f"job-{self._ids.getrandbits(48):012x}"
        self.counts.jobs += 1
        answers = self.answers.setdefault(task_id, [])
        self.note("client", f"{name} {json.dumps(kwargs, default=str)}")
        while not answers:
            copies = 2 if getattr(self.faults, "doubles", lambda _: False)(self) else 1
            for _ in range(copies):
                if self.delivers("job"):
                    self.spawn(self._perform(task_id, f"orchestrator.{name}", kwargs), name)
            for _ in range(20):
                await asyncio.sleep(0.05 if not answers else 0)
                if answers:
                    break
            else:
                await asyncio.sleep(15)
        return answers[0]

    async def done(self, name: str, /, **kwargs: Any) -> Mapping[str, Any]:
        """Return the result of a job that must not be refused."""
        outcome = await self.job(name, **kwargs)
        assert outcome["ok"], outcome
        result: Mapping[str, Any] = outcome["result"]
        return result

    async def open_account(self, account_id: str, plan: str, amount: str) -> None:
        """Put an account with funds."""
        await self.done("account.put", account_id=account_id, plan=plan, currency="USD")
        await self.done("account.credit", account_id=account_id, amount=amount, currency="USD", key="opening")

    async def put_model(self, model_id: str, providers: Sequence[str], **changes: Any) -> None:
        """Put a model that these providers serve."""
        names = {"providers": list(providers), "provider_model_ids": dict.fromkeys(providers, MODEL)}
        await self.done("model.put", id=model_id, **names, **(KIND | changes))

    async def _perform(self, task_id: str, name: str, kwargs: Mapping[str, Any]) -> None:
        delay = getattr(self.faults, "delay", None)
        if delay is not None:
            await asyncio.sleep(delay(self))
        if not self.alive:
            return
        worker = self.rng.choice(self.alive)
        try:
            outcome = await worker.do(name, partial(perform, worker.services, task_id, name, dict(kwargs)))
        except (Killed, StoreError) as error:
            self.note(worker.name, f"{name}: {type(error).__name__}")
            return
        self.answers[task_id].append(json.loads(json.dumps(outcome, default=str)))

    # at rest

    def evidence(self) -> Evidence:
        """Return the evidence for the invariants."""
        return gather(
            self.database,
            self.config,
            self.loop.now(),
            upstream=self.simulator.sessions.all(),
            calls=self.simulator.calls.read(),
            asked=self.asked,
            foreign=frozenset(self.foreign),
            by_id=self.by_id,
            exclusive=frozenset(p.name for p in self.platforms.values() if p.exclusive),
            clock_ahead=timedelta(seconds=self.clock_ahead),
            troubles=self.troubles,
            failed_here=self.machines.failed_here,
            never_arrived=self.never_arrived,
            uses=self.uses,
            answers=self.answers,
            delivered=self.delivered,
        )

    def close(self) -> None:
        """Close the connections."""
        self._eye.close()


class _Sink:
    """The sink of the events."""

    def __init__(self, universe: Universe) -> None:
        self._universe = universe

    def send(self, events: Sequence[Mapping[str, Any]]) -> None:
        """Record the events. Those that were delivered before a raise may come again."""
        self._universe.delivered.extend(json.loads(json.dumps(event, default=str)) for event in events)


def copy_of(template: Path, path: Path) -> None:
    """Put a fresh database there."""
    for suffix in ("-wal", "-shm"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)
    path.write_bytes(template.read_bytes())
