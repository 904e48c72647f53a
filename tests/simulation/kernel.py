"""One event loop with a clock that is moved by hand, and the flows' blocking calls as greenlets on it.

Nothing here waits: where every task sleeps, the clock jumps to the first that wakes. So a day passes in seconds, and
the same seed is the same day."""

import asyncio
import queue
import selectors
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar, cast

from greenlet import getcurrent, greenlet

from orchestrator.flows.engine.loop import EventLoop

T = TypeVar("T")
START = datetime(2026, 1, 1, tzinfo=UTC)


class Killed(BaseException):
    """The process is dead. Nothing may catch it, and nothing may act after it."""


class Stuck(Exception):
    """Every task waits for something that never comes, or continues for ever without time passing."""


#: More turns of the loop than anything real takes within one instant: seven days took 15 at most.
TURNS = 10_000


class _Leap(selectors.SelectSelector):
    """A selector for a loop without sockets: where every task waits, time passes instead."""

    def __init__(self, move: Callable[[float], None]) -> None:
        super().__init__()
        self._move = move
        self._turns = 0

    def select(self, timeout: float | None = None) -> list[Any]:
        self._turns = 0 if timeout else self._turns + 1
        if timeout is None or self._turns > TURNS:
            self._turns = 0  # the cleanup has turns of its own
            raise Stuck("no task can go on" if timeout is None else "no time passes")
        self._move(timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """asyncio on a clock of its own, in seconds since START."""

    def __init__(self) -> None:
        self._seconds = 0.0
        super().__init__(_Leap(self._move))

    def time(self) -> float:
        return self._seconds

    def now(self) -> datetime:
        """Return the same as a date."""
        return START + timedelta(microseconds=round(self._seconds * 1_000_000))

    def _move(self, seconds: float) -> None:
        self._seconds += max(0.0, seconds)


async def in_greenlet(work: Callable[[], T]) -> T:
    """Run blocking code; where it calls `wait_for`, others continue. A cancelled one dies as a process does."""
    runner = greenlet(work)
    awaited = runner.switch()
    while not runner.dead:
        try:
            result = await awaited
        except asyncio.CancelledError:
            awaited = runner.throw(Killed())
        except BaseException as error:  # noqa: BLE001  (the task that waits in there raises it)
            awaited = runner.throw(error)
        else:
            awaited = runner.switch(result)
    return cast(T, awaited)


def wait_for(awaitable: Awaitable[T]) -> T:
    """Let the others continue, inside a greenlet, until it is done."""
    parent = getcurrent().parent
    assert parent is not None
    return cast(T, parent.switch(awaitable))


class FlowLoop(EventLoop):
    """The event-loop thread of the flows: here everything is one thread."""

    def __init__(
        self, loop: VirtualLoop, start: Callable[[Coroutine[Any, Any, Any]], "asyncio.Task[Any]"]
    ) -> None:
        super().__init__()
        self._virtual = loop
        self._start = start

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return cast(T, wait_for(self._start(coroutine)))

    def stream(self, coroutines: Sequence[Coroutine[Any, Any, T]]) -> Iterator[list[T]]:
        waiting = [self._start(coroutine) for coroutine in coroutines]
        errors: list[BaseException] = []
        while waiting:
            wait_for(asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED))
            done = [task for task in waiting if task.done()]
            waiting = [task for task in waiting if not task.done()]
            broken = [error for task in done if (error := _error_of(task)) is not None]
            if any(isinstance(error, Killed) for error in broken):
                raise Killed
            errors += broken
            results = [task.result() for task in done if _error_of(task) is None]
            if results:
                yield results
        if errors:
            raise errors[0]

    def start(
        self, coroutines: Sequence[Coroutine[Any, Any, T]], done: "queue.SimpleQueue[T | BaseException]"
    ) -> None:
        for coroutine in coroutines:
            task = self._start(coroutine)
            task.add_done_callback(lambda ended: done.put(_error_of(ended) or ended.result()))

    async def beside(self, work: Callable[..., T], *arguments: Any) -> T:
        return await in_greenlet(lambda: work(*arguments))

    def time(self) -> float:
        return self._virtual.time()

    def stop(self) -> None:
        """End its tasks with their process."""


def run(loop: VirtualLoop, main: Coroutine[Any, Any, T]) -> T:
    """Run `main` to its end, and drop what is left."""
    asyncio.set_event_loop(loop)
    try:
        return loop.run_until_complete(main)
    finally:
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(_let_go())
        asyncio.set_event_loop(None)
        loop.close()


async def _let_go() -> None:
    mine = asyncio.current_task()
    await asyncio.gather(*(t for t in asyncio.all_tasks() if t is not mine), return_exceptions=True)


def _error_of(task: "asyncio.Task[Any]") -> BaseException | None:
    return Killed() if task.cancelled() else task.exception()


class Moment:
    """Awaited, it lets every other ready task go first."""

    def __await__(self) -> Generator[None, None, None]:
        yield
