"""One event loop for each worker process."""

import asyncio
import queue
import threading
from collections.abc import Coroutine, Iterator
from typing import Any

import pytest

from orchestrator.flows.engine.loop import CHUNK, EventLoop
from tests.waiting import eventually


@pytest.fixture
def loop() -> Iterator[EventLoop]:
    loop = EventLoop()
    yield loop
    loop.stop()


async def said(value: int) -> int:
    return value


async def fails() -> int:
    raise LookupError("no such name")


def test_a_coroutine_runs_on_the_loops_own_thread(loop: EventLoop) -> None:
    async def where() -> str:
        return threading.current_thread().name

    assert loop.run(where()) == "loop"
    assert loop.run(said(1)) == 1


def test_results_come_as_they_finish_and_a_slow_one_delays_nobody(loop: EventLoop) -> None:
    go = asyncio.Event()

    async def slow() -> int:
        await asyncio.wait_for(go.wait(), 60)
        return 0

    async def let_go() -> None:
        go.set()

    chunks = loop.stream([slow(), *(said(n) for n in range(1, 10))])
    first: list[int] = []
    while len(first) < 9:
        first += next(chunks)
    assert sorted(first) == list(range(1, 10))
    loop.run(let_go())
    assert [result for chunk in chunks for result in chunk] == [0]


def test_a_chunk_is_never_larger_than_one_statement_takes(loop: EventLoop) -> None:
    coroutines: list[Coroutine[Any, Any, int]] = [said(n) for n in range(3 * CHUNK)]
    chunks = list(loop.stream(coroutines))
    assert max(map(len, chunks)) <= CHUNK
    assert sorted(n for chunk in chunks for n in chunk) == list(range(3 * CHUNK))


def test_nothing_to_do_is_done_at_once(loop: EventLoop) -> None:
    assert list(loop.stream([])) == []


def test_an_exception_reaches_who_waits(loop: EventLoop) -> None:
    with pytest.raises(LookupError, match="no such name"):
        loop.run(fails())
    with pytest.raises(LookupError, match="no such name"):
        list(loop.stream([fails()]))
    assert list(loop.stream([said(1)])) == [[1]], "the loop lives on"


def test_two_batches_run_beside_each_other(loop: EventLoop) -> None:
    barrier = asyncio.Barrier(2)

    async def meet() -> int:
        async with asyncio.timeout(60):
            return await barrier.wait()

    results: list[int] = []
    threads = [
        threading.Thread(target=lambda: results.extend(n for chunk in loop.stream([meet()]) for n in chunk))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(results) == [0, 1]


def test_stop_cancels_what_runs_and_ends_the_thread() -> None:
    loop = EventLoop()
    began, ended = threading.Event(), threading.Event()

    async def endless() -> int:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return 0

    chunks = loop.stream([endless()])
    reported: list[BaseException] = []

    def wait() -> None:
        try:
            next(chunks)
        except asyncio.CancelledError as error:
            reported.append(error)

    waiting = threading.Thread(target=wait)
    waiting.start()
    assert began.wait(60)
    loop.stop()
    assert ended.wait(60)
    waiting.join(60)
    assert reported, "what waited for it gets the error"
    eventually(lambda: "loop" not in {thread.name for thread in threading.enumerate()}, "the thread's end")


def test_stop_without_a_start_is_nothing() -> None:
    EventLoop().stop()


def test_what_ends_the_loop_is_reported_and_stop_is_not() -> None:
    lost: list[BaseException] = []
    loop = EventLoop(lost.append)

    async def exits() -> int:
        raise SystemExit(3)

    loop.start([exits()], queue.SimpleQueue())
    eventually(lambda: lost, "the loss")
    assert isinstance(lost[0], SystemExit)
    stopped = EventLoop(lost.append)
    assert stopped.run(said(1)) == 1
    stopped.stop()
    eventually(lambda: "loop" not in {thread.name for thread in threading.enumerate()}, "the thread's end")
    assert len(lost) == 1


def test_a_loop_that_gets_no_thread_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """Work for a loop without a thread would never end."""
    lost: list[BaseException] = []

    def no_thread(_self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def answer() -> int:
        return 7

    loop = EventLoop(lost.append)
    with monkeypatch.context() as full:
        full.setattr(threading.Thread, "start", no_thread)
        begun = answer()
        with pytest.raises(RuntimeError, match="new thread"):
            loop.run(begun)
        begun.close()
    assert [type(error) for error in lost] == [RuntimeError]
    done: queue.SimpleQueue[int | BaseException] = queue.SimpleQueue()
    loop.start([answer()], done)
    assert done.get(timeout=5) == 7
    loop.stop()
