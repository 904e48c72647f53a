"""Claim, act, settle: once and to its end, or as a stream that claims while earlier claims are still under way."""

import queue
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from orchestrator.flows.engine.batch import Tally
from orchestrator.flows.engine.crowd import LOOK_AGAIN
from orchestrator.flows.engine.loop import drain
from orchestrator.flows.engine.services import Services

T = TypeVar("T")

#: Threads that settle the answers of one flow. Several, because a settlement may wait for an account's lock.
SETTLERS = 4
_END = object()


class Postponed(Exception):
    """Everything is settled except these: their accounts are locked."""

    def __init__(self, later: Sequence[Any]) -> None:
        super().__init__(f"{len(later)} answers wait for their accounts")
        self.later = later


@dataclass(frozen=True, kw_only=True, slots=True)
class Flow(Generic[T]):
    """One kind of step at providers."""

    claim: Callable[[Services], Sequence[Coroutine[Any, Any, T]]]
    """Lease what is due and can begin now. Each coroutine asks one provider; its slot is held until `settle`, and a
    coroutine that raises has released it itself."""
    settle: Callable[[Services, Sequence[T]], int]
    """Write down what came back, release the slots in any case, and return how many were settled. Raises Postponed
    with what has to wait for its account: the slots of these are still held."""
    chunk: int = 1
    """Results that one call of `settle` takes at most."""


def run_once(services: Services, flow: Flow[T]) -> Tally:
    """Claim once, and wait until everything claimed is settled. Raises the first error, after everything else."""
    asked = flow.claim(services)
    errors: list[Exception] = []
    settled = 0
    for results in services.loop.stream(asked):
        left: Sequence[T] = results
        while left:
            try:
                settled += flow.settle(services, left)
                left = ()
            except Postponed as postponed:
                left = postponed.later
                time.sleep(LOOK_AGAIN)
            except Exception as error:  # noqa: BLE001  (raised below: it must cost no other answer its settlement)
                errors.append(error)
                left = ()
    if errors:
        raise errors[0]
    return Tally(claimed=len(asked), settled=settled)


class Pipeline(Generic[T]):
    """Run a flow without waiting for earlier claims: the answers of all claims meet in one queue, which a few threads
    settle in bulk. The slots bound what may be under way."""

    def __init__(
        self,
        services: Services,
        flow: Flow[T],
        *,
        failed: Callable[[Exception], None],
        settled: Callable[[], None] = lambda: None,
    ) -> None:
        """Start the threads that settle. `failed`: called with the error of a settlement; its rows are claimed again
        when their leases expire. `settled`: called after each settlement, when slots are free again."""
        self._services = services
        self._flow = flow
        self._failed = failed
        self._settled = settled
        self._done: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._changed = threading.Condition()
        self._under_way = 0
        for n in range(SETTLERS):
            threading.Thread(target=self._settle, name=f"settle-{n}", daemon=True).start()

    def claim(self) -> int:
        """Claim and start what is due; return how many, without waiting for them."""
        asked = self._flow.claim(self._services)
        with self._changed:
            self._under_way += len(asked)
        self._services.loop.start(asked, self._done)
        return len(asked)

    def wait(self, seconds: float) -> int:
        """Wait until nothing is under way, at most so long; return how many still are."""
        with self._changed:
            self._changed.wait_for(lambda: not self._under_way, seconds)
            return self._under_way

    def close(self) -> None:
        """End the threads; what comes back from now on is not settled."""
        for _ in range(SETTLERS):
            self._done.put(_END)

    def _settle(self) -> None:
        while True:
            chunk = drain(self._done, self._flow.chunk)
            results = [one for one in chunk if one is not _END and not isinstance(one, BaseException)]
            later: Sequence[Any] = ()
            try:
                if results:
                    self._flow.settle(self._services, results)
            except Postponed as postponed:
                later = postponed.later
                self._services.loop.put_later(LOOK_AGAIN, self._done, later)
            except Exception as error:  # noqa: BLE001  (handed on: this thread must live)
                self._failed(error)
            with self._changed:
                self._under_way -= sum(one is not _END for one in chunk) - len(later)
                self._changed.notify_all()
            self._settled()
            if any(one is _END for one in chunk):
                return
