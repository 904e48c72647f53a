"""One process of a kind of work, from its start until it has drained."""

import logging
import os
import socket
import sys
import time
import warnings
from typing import NoReturn

from celery import Celery
from celery.exceptions import CPendingDeprecationWarning, SecurityWarning

from orchestrator.settings import Settings
from orchestrator.store.database import StoreOutage
from orchestrator.tasks.app import Process, make_app
from orchestrator.tasks.draining import CALLS_END_WITHIN, PINGS_END_WITHIN, Drain
from orchestrator.tasks.liveness import Heartbeat
from orchestrator.tasks.pools import POOLS
from orchestrator.tasks.worker import DrainingWorker, pool_that_drains

log = logging.getLogger(__name__)

#: Names of what failed, for the last report of a process.
_WORKER, _EVENT_LOOP = "Celery's worker", "the event loop"


def run_pool(kind: str, settings: Settings) -> int:
    """Run one Celery worker in this process until a signal stops it and it has drained; return its exit code."""
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
        heartbeat.report_death(_WORKER, error)
        raise
    return end(process, heartbeat, drain, worker.exitcode or 0, worker.fault)


def end(
    process: Process, heartbeat: Heartbeat, drain: Drain, exit_code: int, fault: BaseException | None
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
        heartbeat.report_death(_WORKER, fault or RuntimeError())
    else:
        heartbeat.leave()
    process.close()
    return exit_code


def _without_event_loop(heartbeat: Heartbeat, error: BaseException) -> NoReturn:
    """End this process at once: without its event loop it can ask no provider. Its supervisor starts another, and
    unfinished work is retried when its leases expire."""
    log.critical("the event loop ended (%s): this process exits, to be restarted", type(error).__name__)
    heartbeat.report_death(_EVENT_LOOP, error)
    os._exit(os.EX_SOFTWARE)


def _worker(app: Celery, process: Process, kind: str, drain: Drain) -> DrainingWorker:
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


def _drain(process: Process) -> None:
    """Drain after the first signal, in a thread of its own."""
    process.leave()
    time.sleep(PINGS_END_WITHIN)
    process.drop()


def _prepare(process: Process) -> None:
    """Build everything before the first message is taken. A configuration that is just being written ends this process,
    and its supervisor starts it again. Jobs and runners wait for a database that is down."""
    try:
        process.prepare()
    except StoreOutage as error:
        process.outage.note_failure(error)
