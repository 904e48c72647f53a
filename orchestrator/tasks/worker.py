"""Celery's worker, stopped by our drain only, with a thread pool that ends within a time limit."""

import logging
import sys
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Any

from celery.apps.worker import Worker
from celery.concurrency.thread import TaskPool
from celery.worker import state

from orchestrator.tasks.draining import CALLS_END_WITHIN, Drain

log = logging.getLogger(__name__)


class DrainingWorker(Worker):
    """A worker that, after `stop_soon`, stops consuming, waits for its pool, and gives back every message that it has
    not acknowledged."""

    fault: BaseException | None = None
    """What ended this worker: Celery logs it and returns."""

    def stop(self, in_sighandler: Any = False, exitcode: int | None = None) -> None:  # noqa: FBT002
        """Stop. Celery calls this in the handler of the error that ended it."""
        self.fault = sys.exception() if exitcode else None
        super().stop(in_sighandler=in_sighandler, exitcode=exitcode)

    @staticmethod
    def stop_soon() -> None:
        """Ask the worker's loop to stop; it checks every second. Safe in a signal's handler."""
        state.should_stop = 0  # type: ignore[assignment]  # an exit code, or None

    def install_platform_tweaks(self, worker: Any) -> None:
        """Install no signal handlers: `draining` installs ours; Celery's own would ignore a second signal."""


def pool_that_drains(drain: Drain, leave: Callable[[], None]) -> type[TaskPool]:
    """Return Celery's thread pool. When it stops, prefetched messages that have not begun go back to their queue.
    `leave` stops further claims: without a signal, this call is the first sign that the worker ends."""

    class Draining(TaskPool):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self._running: set[Future[Any]] = set()

        def on_apply(self, *args: Any, **kwargs: Any) -> Any:
            result = super().on_apply(*args, **kwargs)
            self._running.add(result.f)
            result.f.add_done_callback(self._running.discard)
            return result

        def on_stop(self) -> None:
            drain.begin()
            leave()
            held = list(self._running)
            self.executor.shutdown(wait=False, cancel_futures=True)  # type: ignore[attr-defined]
            begun = [future for future in held if not future.cancelled()]
            log.info(
                "waiting for %d batches; %d that have not begun go back", len(begun), len(held) - len(begun)
            )
            unfinished = wait(begun, drain.left(CALLS_END_WITHIN)).not_done
            if unfinished:
                log.warning("%d batches are still running; their work is retried later", len(unfinished))

    return Draining
