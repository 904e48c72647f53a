"""The five kinds of work. Each is a process with its own slots, threads and connections, which no other kind can use
up."""

import logging
import os
import socket
import sys
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from orchestrator.client.options import JOBS_QUEUE
from orchestrator.rules.installation.liveness import CLOSE, CONTROL, OPEN, PING, STOP
from orchestrator.settings import Settings
from orchestrator.store.database import StoreOutage
from orchestrator.tasks.draining import CALLS_END_WITHIN, PINGS_END_WITHIN, Drain
from orchestrator.tasks.liveness import Heartbeat
from orchestrator.tasks.wake_ups import queue_of

if TYPE_CHECKING:
    from celery import Celery

    from orchestrator.tasks.app import Process
    from orchestrator.tasks.worker import DrainingWorker

log = logging.getLogger(__name__)

#: Names of what failed, for the last report of a process.
_WORKER, _EVENT_LOOP = "Celery's worker", "the event loop"


@dataclass(frozen=True, kw_only=True, slots=True)
class Pool:
    """One kind of work: what it consumes, and how much it may do at once.

    Its runners have threads of their own (`tasks.runner`), so messages need few: jobs are short transactions, and a
    wake-up only rings a bell."""

    queues: Sequence[str]
    threads: int = 2
    connections: int = 5
    """Connections to the database that are kept open; twice as many under load."""
    switch_seconds: float = 0.005
    """How long a thread computes before another that waits may interrupt it; the default is Python's own."""


POOLS: Mapping[str, Pool] = {
    # Each job waits for the database after less than a millisecond, so its threads take turns without interruptions.
    # Waking up only to interrupt each other costs them CPU (docs/benchmarks/limits.md).
    CONTROL: Pool(queues=(JOBS_QUEUE, queue_of(CONTROL)), threads=24, connections=12, switch_seconds=0.05),
    OPEN: Pool(queues=(queue_of(OPEN),), connections=8),
    **{kind: Pool(queues=(queue_of(kind),)) for kind in (STOP, CLOSE, PING)},
}


def run_pool(kind: str, settings: Settings) -> int:
    """Run one Celery worker in this process until a signal stops it and it has drained; return its exit code."""
    from celery.exceptions import CPendingDeprecationWarning, SecurityWarning

    from orchestrator.tasks.app import make_app

    warnings.filterwarnings("ignore", category=SecurityWarning)  # it warns of pickle, and we use only JSON
    warnings.filterwarnings("ignore", category=CPendingDeprecationWarning)  # of a setting that we chose
    sys.setswitchinterval(POOLS[kind].switch_seconds)
    app, process = make_app(settings, kind, POOLS[kind].connections)
    drain = Drain()
    worker = _worker(app, process, kind, drain)
    drain.listen(at_once=worker.stop_soon, then=lambda: _drain(process))
    _prepare(process)
    heartbeat = Heartbeat(lambda: process.services.database, process.pulse)
    process.lost = lambda error: _without_event_loop(heartbeat, error)
    heartbeat.start()
    process.runners.start()
    try:
        worker.start()
    except BaseException as error:
        heartbeat.last_words(_WORKER, error)
        raise
    return end(process, heartbeat, drain, worker.exitcode or 0, worker.fault)


def end(
    process: "Process", heartbeat: Heartbeat, drain: Drain, exit_code: int, fault: BaseException | None
) -> int:
    """Wait for claimed rows until one deadline, report how the worker ended, close the process, and return the exit
    code.

    `fault`: the error that ended a worker with an exit code other than 0. Its row stays, and counts as a death."""
    drain.begin()
    process.leave()
    unfinished = process.runners.finish(lambda: drain.left(CALLS_END_WITHIN))
    if unfinished:
        log.warning(
            "%d runs are still under way; their rows are claimed again when leases expire", unfinished
        )
    if exit_code:
        heartbeat.last_words(_WORKER, fault or RuntimeError())
    else:
        heartbeat.leave()
    process.close()
    return exit_code


def _without_event_loop(heartbeat: Heartbeat, error: BaseException) -> NoReturn:
    """End this process at once: without its event loop it can ask no provider. Its supervisor starts another, and
    unfinished work is retried when its leases expire."""
    log.critical("the event loop ended (%s): this process exits, to be restarted", type(error).__name__)
    heartbeat.last_words(_EVENT_LOOP, error)
    os._exit(os.EX_SOFTWARE)


def _worker(app: "Celery", process: "Process", kind: str, drain: Drain) -> "DrainingWorker":
    from orchestrator.tasks.worker import DrainingWorker, pool_that_drains

    pool = POOLS[kind]
    return DrainingWorker(
        app=app,
        pool=pool_that_drains(drain, process.leave),
        concurrency=pool.threads,
        queues=list(pool.queues),
        hostname=f"{kind}-{os.getpid()}@{socket.gethostname()}",
        loglevel="INFO",
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        quiet=True,
    )


def _drain(process: "Process") -> None:
    """Drain after the first signal, in a thread of its own."""
    process.leave()
    time.sleep(PINGS_END_WITHIN)
    process.drop()


def _prepare(process: "Process") -> None:
    """Build everything before the first message is taken. A configuration that is just being written ends this process,
    and its supervisor starts it again. Jobs and runners wait for a database that is down."""
    try:
        process.prepare()
    except StoreOutage as error:
        process.outage.note_failure(error)
