"""The four kinds of work, each a Celery worker with slots that no other kind can take."""

import os
import socket
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.client.options import JOBS_QUEUE
from orchestrator.flows.slots import TOTALS
from orchestrator.rules.states import Step
from orchestrator.settings import Settings
from orchestrator.store.database import StoreOutage
from orchestrator.tasks.draining import PINGS_END_WITHIN, Drain
from orchestrator.tasks.ticks import CLOSE, CONTROL, OPEN, PING, queue_of

if TYPE_CHECKING:
    from orchestrator.tasks.app import Process


@dataclass(frozen=True, kw_only=True, slots=True)
class Pool:
    """One kind of work: what it consumes, and how many batches run beside each other.

    Threads, because a batch only waits: its calls run on the process's one event loop, its transactions in the
    database. There is a thread for each lifecycle call that may be under way, so that a provider that hangs, which
    holds at most half of the calls, never keeps another's from beginning. They are made when they are needed. A
    ping's batch ends within the ping's timeout, so that fewer do."""

    queues: Sequence[str]
    threads: int


#: Threads for batches that find nothing to do.
SPARE = 16

POOLS: Mapping[str, Pool] = {
    CONTROL: Pool(queues=(JOBS_QUEUE, queue_of(CONTROL)), threads=8),
    CLOSE: Pool(queues=(queue_of(CLOSE),), threads=TOTALS[Step.CLOSE] + SPARE),
    OPEN: Pool(queues=(queue_of(OPEN),), threads=TOTALS[Step.OPEN] + TOTALS[Step.RESOLVE] + SPARE),
    PING: Pool(queues=(queue_of(PING),), threads=256),
}


def run_pool(kind: str, settings: Settings) -> int:
    """Run one Celery worker in this process until it is told to stop and has drained; return its exit code."""
    from celery.exceptions import SecurityWarning

    from orchestrator.tasks.app import make_app
    from orchestrator.tasks.worker import DrainingWorker, pool_that_drains

    warnings.filterwarnings("ignore", category=SecurityWarning)  # it is about pickle, and we speak JSON only
    app, process = make_app(settings)
    pool = POOLS[kind]
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
    worker.start()
    process.close()
    return int(worker.exitcode or 0)


def _prepare(process: "Process") -> None:
    """Build everything before the first message is taken: a configuration that is being written ends this process,
    which is started again. A database that is down is waited for by the jobs."""
    try:
        process.prepare()
    except StoreOutage as error:
        process.outage.told(error)
