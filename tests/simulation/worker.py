"""One simulated worker process: real services over the shared store, a wire without sockets, and a life that can end at
any point."""

import asyncio
import functools
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from functools import partial
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection, Engine, event

from orchestrator import wiring
from orchestrator.flows.upstream.credentials import sync_credentials
from orchestrator.providers.http.client import HttpClient
from orchestrator.providers.port.driver import Driver
from orchestrator.rules.states import Step
from orchestrator.settings import SecretStore, Settings
from orchestrator.store.core.stopwatch import Stopwatch
from orchestrator.store.database import Database
from orchestrator.store.queries.identity import Identity
from orchestrator.store.transaction import Transaction
from tests.simulation.kernel import FlowLoop, Killed, in_greenlet, wait_for
from tests.simulation.machines import Machines, Resolver
from tests.simulation.surroundings import Surroundings
from tests.simulation.wire import Wire

T = TypeVar("T")
#: The machines' monotonic clocks at the start. Seconds.
BOOTED = 100_000.0
#: The placement that the call of this task is about.
_ABOUT: ContextVar[str | None] = ContextVar("about", default=None)
#: The methods of a driver.
METHODS = ("open", "resolve", "probe", "status", "close", "list", "check", "lists", "balance")


class ProcessFaults(Protocol):
    """Faults of a process at each of its points. It may wait, raise, or kill."""

    def at_commit(self, worker: "Worker", when: str, where: str) -> None:
        """Act at a commit. `when`: begin, before or after; `where`: the function that opened the transaction."""

    async def at_call(self, worker: "Worker", when: str, what: str) -> None:
        """Act at a call. `when`: before or after; `what`: method and upstream."""


class Worker:
    """One process. Once killed, it does nothing more."""

    def __init__(
        self,
        around: Surroundings,
        name: str,
        faults: ProcessFaults,
        machines: Machines,
        wake: Callable[[frozenset[Step]], None],
    ) -> None:
        """`wake`: publish the wake-ups of a commit."""
        self.around = around
        self.name = name
        self.faults = faults
        self._machines = machines
        self._publish = wake
        self.alive = True
        self._tasks: set[asyncio.Task[Any]] = set()
        database = SharedDatabase(around.engine, self)
        http = HttpClient(
            transport=Wire(around.dispatcher, self._at_call, self._begins, around.receives),
            clock=around.loop.now,
            resolver=Resolver(partial(machines.resolves, name)),
        )
        built = wiring.build(
            Settings(database_url=around.url),
            around.config,
            wake=self._wake,
            database=database,
            http=http,
            loop=FlowLoop(around.loop, self._start_call),
            secrets=SecretStore(around.secrets),
        )
        self.webhooks = built.webhooks
        self.services = replace(built.services, few_sessions=around.few_sessions)
        noted = getattr(faults, "asks", lambda _driver, _method: None)
        for driver in self.services.drivers.values():
            watch(driver, partial(noted, around.platforms[driver.name].driver))

    async def begin(self) -> None:
        """Do what every worker does first."""
        if self.around.checks_time:
            await self.do("learn", self.services.database.learn_time)
        await self.do("sync", lambda: sync_credentials(self.services))

    async def do(self, what: str, work: Callable[[], T]) -> T:
        """Run a flow to its end, or to the end of the process. Raises Killed."""
        task = self._keep(in_greenlet(work), what)
        await asyncio.wait([task])
        if task.cancelled():
            raise Killed
        return task.result()

    def kill(self) -> None:
        """Kill the process as kill -9 does: no task of it continues."""
        if self.alive:
            self.alive = False
            self.around.died.set()
            self.around.note(self.name, "killed")
            mine = _current()
            for task in self._tasks:
                if task is not mine:
                    task.cancel()

    def die(self) -> None:
        """Kill it from inside one of its own tasks."""
        self.kill()
        raise Killed

    def must_live(self) -> None:
        """Raise Killed after the death of the process: nothing acts then."""
        if not self.alive:
            raise Killed

    def _start_call(self, coroutine: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        return self._keep(coroutine, "call")

    def _keep(self, coroutine: Coroutine[Any, Any, T], what: str) -> "asyncio.Task[T]":
        task = self.around.loop.create_task(coroutine, name=f"{self.name}: {what}")
        self._tasks.add(task)
        task.add_done_callback(self._let_go)
        return task

    def _let_go(self, task: "asyncio.Task[Any]") -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # its waiter has the exception; asyncio need not log it

    def _wake(self, steps: frozenset[Step]) -> None:
        if self.alive:
            self._publish(steps)

    def _begins(self, call: int) -> None:
        about = _ABOUT.get()
        if about is not None:
            self.around.asked[call] = about

    async def _at_call(self, when: str, what: str) -> None:
        self.must_live()
        if when == "before":
            self._machines.at_call(self.name, _ABOUT.get())
        try:
            await self.faults.at_call(self, when, what)
        except asyncio.CancelledError:
            if when == "before" and self.alive:
                self.around.never_arrived.append((self.around.loop.now(), _ABOUT.get()))
            raise
        self.must_live()


class SharedDatabase(Database):
    """The store as one process sees it; all processes share the engine, and its compiled statements."""

    def __init__(self, engine: Engine, worker: Worker) -> None:
        around = worker.around
        machine = f"machine-{around.started % 2 + 1}"
        stopwatch = Stopwatch(seconds=lambda: around.loop.time() + BOOTED, boot=machine, host=machine)
        super().__init__(
            around.url,
            clock=around.store_now,
            stopwatch=stopwatch if around.checks_time else None,
            keeps_time=True,
            identity=Identity(around.rng_of("ids")),
            pause=lambda seconds: wait_for(asyncio.sleep(seconds)),
        )
        self.engine.dispose()
        self.engine = engine.execution_options()  # separate listeners, over shared connections
        event.listen(self.engine, "commit", self._commits)
        self._worker = worker
        self._where, self._committed, self._looks = "nobody", False, False
        self.time.refresh_every = 4.0  # a day is long, and every other tick is rarer

    def attempt(self, work: Callable[[Transaction], T]) -> tuple[T, frozenset[Step]]:
        self._where = name_of(work)
        self._committed = False
        self._point("begin")
        done = super().attempt(work)
        self._worker.around.changed()
        self._point("after")
        return done

    def _refresh_time(self) -> None:
        """Look at the time without faults: a process that stopped here would hold its lock in real time."""
        self._looks = True
        try:
            super()._refresh_time()
        finally:
            self._looks = False

    def _commits(self, _connection: Connection) -> None:
        """Make a point of each COMMIT that reaches the database."""
        if self._looks:
            return
        if self._committed:
            self._point("after")
        self._point("before")
        self._committed = True

    @contextmanager
    def reading(self, *, at_one_moment: bool = False) -> Iterator[Transaction]:
        self._worker.must_live()
        with super().reading(at_one_moment=at_one_moment) as tx:
            yield tx

    def dispose(self) -> None:
        """Do nothing: the engine is shared."""

    def _point(self, when: str) -> None:
        self._worker.must_live()
        self._worker.faults.at_commit(self._worker, when, self._where)
        self._worker.must_live()


def watch(driver: Driver, asks: Callable[[str], None]) -> None:
    """Call `asks` with the name of each method of this driver that is called; note the placement of each call."""
    for method in METHODS:
        ask = getattr(driver, method, None)
        if ask is not None:
            setattr(driver, method, _counting(ask, partial(asks, method)))


def _counting(ask: Callable[..., Awaitable[T]], count: Callable[[], None]) -> Callable[..., Awaitable[T]]:
    def asked(*args: Any, **kwargs: Any) -> Awaitable[T]:
        count()
        _ABOUT.set(getattr(args[0], "placement_id", None) if args else None)
        return ask(*args, **kwargs)

    return asked


def name_of(work: Callable[..., Any]) -> str:
    """Return the name of the function that opened the transaction: `open_due.OpeningStep.settle_one`."""
    if isinstance(work, functools.partial):
        return name_of(work.func)
    return f"{work.__module__.rpartition('.')[2]}.{work.__qualname__.partition('.<')[0]}"


def _current() -> "asyncio.Task[Any] | None":
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None
