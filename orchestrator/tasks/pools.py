"""The five kinds of work, each a process with slots, threads and connections that no other kind can take."""

import logging
import os
import socket
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.client.options import JOBS_QUEUE
from orchestrator.rules.liveness import CLOSE, CONTROL, OPEN, PING, STOP
from orchestrator.settings import Settings
from orchestrator.store.database import StoreOutage
from orchestrator.tasks.draining import CALLS_END_WITHIN, PINGS_END_WITHIN, Drain
from orchestrator.tasks.liveness import Heartbeat
from orchestrator.tasks.ticks import queue_of

if TYPE_CHECKING:
    from orchestrator.tasks.app import Process

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Pool:
    """One kind of work: what it consumes, and how much it may do at once.

    Its runners have threads of their own (`tasks.runner`), so that messages need few: jobs are transactions, and a
    wake-up only rings."""

    queues: Sequence[str]
    threads: int = 2
    connections: int = 5
    """To the database, kept open; twice as many when there is much to do."""


POOLS: Mapping[str, Pool] = {
    CONTROL: Pool(queues=(JOBS_QUEUE, queue_of(CONTROL)), threads=8, connections=8),
    **{kind: Pool(queues=(queue_of(kind),)) for kind in (STOP, CLOSE, OPEN, PING)},
}


def run_pool(kind: str, settings: Settings) -> int:
    """Run one Celery worker in this process until it is told to stop and has drained; return its exit code."""
    from celery.exceptions import SecurityWarning

    from orchestrator.tasks.app import make_app
    from orchestrator.tasks.worker import DrainingWorker, pool_that_drains

    warnings.filterwarnings("ignore", category=SecurityWarning)  # it is about pickle, and we speak JSON only
    pool = POOLS[kind]
    app, process = make_app(settings, kind, pool.connections)
    drain = Drain()

    def begin() -> None:
        process.leave()
        time.sleep(PINGS_END_WITHIN)
        process.drop()

    drain.listen(at_once=DrainingWorker.stop_soon, then=begin)
    _prepare(process)
    worker = DrainingWorker(
        app=app,
        pool=pool_that_drains(drain),
        concurrency=pool.threads,
        queues=list(pool.queues),
        hostname=f"{kind}-{os.getpid()}@{socket.gethostname()}",
        loglevel="INFO",
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        quiet=True,
    )
    heartbeat = Heartbeat(lambda: process.services.database, process.pulse)
    heartbeat.start()
    process.runners.start()
    try:
        worker.start()
    except BaseException as error:
        heartbeat.last_words("Celery's worker", error)
        raise
    unfinished = process.runners.finish(lambda: drain.left(CALLS_END_WITHIN))
    if unfinished:
        log.warning(
            "%d rows are still under way; they are claimed again when their leases expire", unfinished
        )
    heartbeat.leave()
    process.close()
    return int(worker.exitcode or 0)


def _prepare(process: "Process") -> None:
    """Build everything before the first message is taken: a configuration that is being written ends this process,
    which is started again. Jobs and runners wait for a database that is down."""
    try:
        process.prepare()
    except StoreOutage as error:
        process.outage.told(error)
