"""One event loop in one thread for each worker process; flows hand it coroutines and settle what comes back."""

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

T = TypeVar("T")

#: Results settled in one statement at most.
CHUNK = 500


class EventLoop:
    """The event loop and its thread. It starts with its first use, and so never before a fork."""

    def __init__(self, lost: Callable[[BaseException], None] = lambda _error: None) -> None:
        """Prepare the loop; its thread starts with the first use.

        `lost`: called with the error that ended the thread, or kept it from starting. Nothing can be asked any more,
        and calls under way hold their slots for ever: a worker process ends then."""
        self._lost = lost
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._droppable: set[asyncio.Task[Any]] = set()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run one coroutine on the loop, and wait for its result."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._running()).result()

    def stream(self, coroutines: Sequence[Coroutine[Any, Any, T]]) -> Iterator[list[T]]:
        """Run all at once; yield results in chunks as they finish, so that a slow one does not delay others.

        The coroutines handle their own errors. If one raises anyway, or is cancelled, the stream yields all other
        results first and then raises that error."""
        done: queue.SimpleQueue[T | BaseException] = queue.SimpleQueue()
        self.start(coroutines, done)
        left = len(coroutines)
        errors: list[BaseException] = []
        while left:
            chunk = drain(done)
            left -= len(chunk)
            errors += [result for result in chunk if isinstance(result, BaseException)]
            results = [result for result in chunk if not isinstance(result, BaseException)]
            if results:
                yield results
        if errors:
            raise errors[0]

    def start(
        self, coroutines: Sequence[Coroutine[Any, Any, T]], done: "queue.SimpleQueue[T | BaseException]"
    ) -> None:
        """Run all at once; put each result, or the error, into `done` as it comes. Returns at once."""
        if coroutines:
            self._running().call_soon_threadsafe(_start_all, coroutines, done)

    def put_later(self, seconds: float, done: "queue.SimpleQueue[Any]", results: Sequence[Any]) -> None:
        """Put these into `done` after some seconds. Returns at once."""
        loop = self._running()
        for result in results:
            loop.call_soon_threadsafe(partial(loop.call_later, seconds, done.put, result))

    @contextmanager
    def may_be_dropped(self) -> Iterator[None]:
        """Let `drop` cancel the running coroutine inside this context: another process can do its work."""
        task = asyncio.current_task()
        assert task is not None
        self._droppable.add(task)
        try:
            yield
        finally:
            self._droppable.discard(task)

    def drop(self) -> None:
        """Cancel every coroutine that is within `may_be_dropped`."""
        with self._lock:
            loop = self._loop
        if loop is not None:
            loop.call_soon_threadsafe(self._drop)

    def _drop(self) -> None:
        for task in list(self._droppable):
            task.cancel()

    async def beside(self, work: Callable[..., T], *arguments: Any) -> T:
        """Run blocking work from a coroutine, without holding up the others."""
        return await asyncio.to_thread(work, *arguments)

    def time(self) -> float:
        """Return the loop's own clock, which deadlines are compared with."""
        return time.monotonic()

    def stop(self) -> None:
        """Cancel what still runs and end the thread."""
        with self._lock:
            loop, self._loop = self._loop, None
        if loop is not None:
            asyncio.run_coroutine_threadsafe(_cancel_all(), loop).result(timeout=10)
            loop.call_soon_threadsafe(loop.stop)

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = self._start_thread()
            return self._loop

    def _start_thread(self) -> asyncio.AbstractEventLoop:
        """Return a loop with its thread running. If this machine has no thread left, give the loop up: work on a loop
        without a thread would hold its slots for ever."""
        loop = asyncio.new_event_loop()
        try:
            threading.Thread(target=self._run, args=(loop,), name="loop", daemon=True).start()
        except BaseException as error:
            loop.close()
            self._lost(error)
            raise
        return loop

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        try:
            loop.run_forever()
        except BaseException as error:  # noqa: BLE001  (a coroutine may raise SystemExit, and memory may run out)
            self._lost(error)
        finally:
            loop.close()


def _start_all(
    coroutines: Sequence[Coroutine[Any, Any, T]], done: "queue.SimpleQueue[T | BaseException]"
) -> None:
    for coroutine in coroutines:
        task = asyncio.get_running_loop().create_task(coroutine)
        _PENDING.add(task)
        task.add_done_callback(lambda finished: _report(finished, done))


#: Strong references to the running tasks: the loop itself keeps only weak ones.
_PENDING: set[asyncio.Task[Any]] = set()


def _report(task: "asyncio.Task[T]", done: "queue.SimpleQueue[T | BaseException]") -> None:
    _PENDING.discard(task)
    if task.cancelled():
        done.put(asyncio.CancelledError())
    else:
        done.put(task.exception() or task.result())


def drain(done: "queue.SimpleQueue[T | BaseException]", limit: int = CHUNK) -> list[T | BaseException]:
    """Wait for one result, and return it with all others that are there, at most `limit` in all."""
    return [done.get(), *drain_now(done, limit - 1)]


def drain_now(done: "queue.SimpleQueue[T | BaseException]", limit: int) -> list[T | BaseException]:
    """Return the results that are there, at most `limit`."""
    chunk: list[T | BaseException] = []
    while len(chunk) < limit:
        try:
            chunk.append(done.get_nowait())
        except queue.Empty:
            break
    return chunk


async def _cancel_all() -> None:
    mine = asyncio.current_task()
    tasks = [task for task in asyncio.all_tasks() if task is not mine]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
