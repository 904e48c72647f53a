"""Drivers without a thread: called one after the other, in the order of the claims."""

import asyncio
from collections.abc import Coroutine, Iterator, Sequence
from typing import Any, TypeVar

from orchestrator.flows.engine.loop import EventLoop

T = TypeVar("T")


class InlineLoop(EventLoop):
    """The event loop in the caller's own thread: the same order of things in every run."""

    def __init__(self) -> None:
        super().__init__()
        self._runner = asyncio.Runner()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(coroutine)

    def stream(self, coroutines: Sequence[Coroutine[Any, Any, T]]) -> Iterator[list[T]]:
        async def all_of_them() -> list[T]:
            return [await coroutine for coroutine in coroutines]

        if coroutines:
            yield self._runner.run(all_of_them())

    def stop(self) -> None:
        self._runner.close()
