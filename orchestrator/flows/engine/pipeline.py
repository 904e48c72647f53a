"""Claim, act, settle: once and to its end, or as a stream that claims while earlier claims are still under way."""

import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from orchestrator.flows.engine.batch import Tally
from orchestrator.flows.engine.crowd import LOOK_AGAIN
from orchestrator.flows.engine.loop import drain, drain_now
from orchestrator.flows.engine.metering import save_counts
from orchestrator.flows.engine.provider_steps import Answer, Postponed, ProviderStep, claim_and_ask, settle
from orchestrator.flows.engine.services import Services

C = TypeVar("C")
A = TypeVar("A")

#: Threads that settle the answers of one step. Several, because a settlement may wait for an account's lock.
SETTLERS = 4
#: Seconds for which a settlement in bulk collects answers, if more are under way: it costs several round trips, however
#: few answers it has.
SLICE = 0.025
_END = object()


def run_once(services: Services, step: ProviderStep[C, A]) -> Tally:
    """Claim once, and wait until everything claimed is settled. Raises the first error, after everything else."""
    asked = claim_and_ask(services, step)
    errors: list[Exception] = []
    settled = 0
    for results in services.loop.stream(asked):
        left: Sequence[Answer[C, A]] = results
        while left:
            try:
                settled += settle(services, step, left)
                left = ()
            except Postponed as postponed:
                left = postponed.later
                time.sleep(LOOK_AGAIN)
            except Exception as error:  # noqa: BLE001  (raised below: it must cost no other answer its settlement)
                errors.append(error)
                left = ()
    save_counts(services.database, services.waiting_counts)
    if errors:
        raise errors[0]
    return Tally(claimed=len(asked), settled=settled)


class Pipeline(Generic[C, A]):
    """Run a step without waiting for earlier claims: the answers of all claims meet in one queue, which a few threads
    settle in bulk. The slots bound what may be under way."""

    def __init__(
        self,
        services: Services,
        step: ProviderStep[C, A],
        *,
        failed: Callable[[Exception], None],
        settled: Callable[[], None] = lambda: None,
    ) -> None:
        """Start the threads that settle. `failed`: called with the error of a settlement; its rows are claimed again
        when their leases expire. `settled`: called after each settlement, when slots are free again."""
        self._services = services
        self._step = step
        self._failed = failed
        self._settled = settled
        self._done: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._changed = threading.Condition()
        self._collecting = threading.Lock()
        self._under_way = 0
        for n in range(SETTLERS):
            threading.Thread(target=self._settle, name=f"settle-{n}", daemon=True).start()

    def claim(self) -> int:
        """Claim and start what is due; return how many, without waiting for them."""
        asked = claim_and_ask(self._services, self._step)
        with self._changed:
            idle = not self._under_way and not asked
            self._under_way += len(asked)
        self._services.loop.start(asked, self._done)
        self._save_counts(at_once=idle)
        return len(asked)

    def wait(self, seconds: float) -> int:
        """Wait until nothing is under way, at most this long; return how many still are."""
        with self._changed:
            self._changed.wait_for(lambda: not self._under_way, seconds)
            left = self._under_way
        self._save_counts(at_once=True)
        return left

    def close(self) -> None:
        """End the threads; what comes back from now on is not settled."""
        self._done.put(_END)

    def _settle(self) -> None:
        while True:
            chunk = self._collect()
            results = [one for one in chunk if one is not _END and not isinstance(one, BaseException)]
            later: Sequence[Any] = ()
            try:
                if results:
                    settle(self._services, self._step, results)
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
                self._done.put(_END)  # for the next thread
                return

    def _save_counts(self, *, at_once: bool) -> None:
        try:
            save_counts(self._services.database, self._services.waiting_counts, at_once=at_once)
        except Exception as error:  # noqa: BLE001  (handed on: what was claimed continues)
            self._failed(error)

    def _collect(self) -> list[Any]:
        """Wait for answers, one thread at a time: otherwise the threads would share a slice's answers out."""
        if self._step.chunk == 1:
            return drain(self._done, 1)
        with self._collecting:
            first = drain(self._done, 1)
            if first != [_END] and self._under_way > 1 + self._done.qsize():
                time.sleep(SLICE)
            return first + drain_now(self._done, self._step.chunk - 1)
