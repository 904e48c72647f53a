"""The scheduler: a table of wake-ups and their intervals. Two may run at once, since a repeated wake-up does no
harm."""

import logging
import os
import time
from collections.abc import Callable

from apscheduler.executors.pool import ThreadPoolExecutor
from celery import Celery

from orchestrator.client.options import celery_options
from orchestrator.rules.installation.liveness import KINDS, SCHEDULER
from orchestrator.settings import Settings
from orchestrator.store.database import Database, StoreError, new_token
from orchestrator.tasks.draining import Drain
from orchestrator.tasks.failure_log import FailureLog
from orchestrator.tasks.liveness import Heartbeat, Pulse
from orchestrator.tasks.steady import SteadyScheduler
from orchestrator.tasks.wake_ups import WAKE_UPS, queue_of
from orchestrator.tasks.waker import WakeUps

log = logging.getLogger(__name__)

#: The lease that lets one of several schedulers do the work. Seconds.
LEASE, LEASE_SECONDS = "scheduler", 5.0
#: Seconds between two checks of the lease.
HEARTBEAT = 1.0
#: No tick finished for this many seconds: a publish hangs for good; leave, and be started again.
STUCK_AFTER = 30.0
#: A longer pause between two reads of that counts as this one: a process that was stopped (SIGSTOP) is not stuck.
LONGEST_LOOK = 5.0
_DEFAULTS = {"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
#: APScheduler's warning at a beat that finds the last one still on its way.
_SKIPPED = "maximum number of running instances reached"


class Scheduler:
    """Publishes each wake-up on its beat while it holds the lease."""

    def __init__(
        self,
        database: Database,
        send: Callable[[str], object],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._send = send
        self._holder = new_token()
        self.pulse = Pulse(SCHEDULER)
        self._leads = True
        self._monotonic = monotonic
        self._looked = self._learned = monotonic()
        self._quiet = 0.0
        self._unsent, self._unkept = FailureLog(monotonic), FailureLog(monotonic)

    def beat(self) -> None:
        """Keep the lease, and record in its row that this scheduler ticks. Without a database every scheduler ticks."""
        try:
            self._leads = self._database.transact(
                lambda tx: tx.leases.hold(LEASE, self._holder, tx.now(), LEASE_SECONDS)
            )
        except StoreError as error:
            self._leads = True
            self._unkept.log_failure(f"the scheduler's lease cannot be kept: {type(error).__name__}")
        else:
            self._unkept.note_success()
        self._learned = self._monotonic()
        if not self._leads:
            self._quiet = 0.0

    def tick(self, name: str) -> None:
        """Send one wake-up, if it is ours to send. What was learned of the lease holds for as long as the lease."""
        if not self._leads and self._monotonic() - self._learned < LEASE_SECONDS:
            return
        try:
            sent = self._send(name)
        except Exception as error:  # noqa: BLE001  (the broker may be down for a while: tick on)
            self.pulse.note_failure(name, error)
            self._unsent.log_failure(
                f"{name} not sent: {type(error).__name__}; is the broker up? Workers find due work without wake-ups"
            )
        else:
            self.pulse.note_sent()
            if sent is not False:  # else enough wait already: that says nothing about writes
                self._unsent.note_success()
        self._quiet = 0.0

    def look(self) -> bool:
        """Return whether no tick has finished for too long while this process ran. Call it every second."""
        now = self._monotonic()
        self._quiet += min(now - self._looked, LONGEST_LOOK)
        self._looked = now
        return self._quiet > STUCK_AFTER

    def leave(self) -> None:
        """Let the next one have the lease at once."""
        try:
            self._database.transact(lambda tx: tx.leases.give_back(LEASE, self._holder))
        except StoreError:
            log.warning("the scheduler's lease was not given back; it ends by itself in %s s", LEASE_SECONDS)


def timetable(scheduler: Scheduler, wall: Callable[[], float] = time.time) -> SteadyScheduler:
    """Return the beat and every wake-up, each with a thread of its own, so that none waits for another's."""
    executor = ThreadPoolExecutor(max_workers=len(WAKE_UPS) + 1)
    beats = SteadyScheduler(
        wall=wall, timezone="UTC", job_defaults=_DEFAULTS, executors={"default": executor}
    )
    logging.getLogger("apscheduler.scheduler").addFilter(_is_worth_a_line)
    beats.add_job(scheduler.beat, "interval", seconds=HEARTBEAT)
    for name, wake_up in WAKE_UPS.items():
        beats.add_job(scheduler.tick, "interval", args=[name], seconds=wake_up.every_seconds)
    return beats


def _is_worth_a_line(record: logging.LogRecord) -> bool:
    """Return False for a skipped wake-up: while one is being sent the next is superfluous, and a busy machine may be
    slow for a second. `stuck` reports a send that hangs for good, `tick` a broker that is down."""
    return _SKIPPED not in record.getMessage()


def _sender(settings: Settings) -> Celery:
    """Return an application that only sends."""
    app: Celery = Celery("orchestrator", broker=settings.broker_url, set_as_current=False)
    queues = [queue_of(kind) for kind in KINDS]
    app.conf.update(celery_options(queues, sentinel_master=settings.sentinel_master))
    return app


def run(settings: Settings) -> int:
    """Tick until SIGTERM or SIGINT; exit code 1 where it was stuck."""
    app = _sender(settings)
    database = Database(settings.database_url, pool_size=2, keeps_time=True)
    scheduler = Scheduler(database, WakeUps(app).send)
    beats = timetable(scheduler)
    drain = Drain()
    drain.listen()
    heartbeat = Heartbeat(lambda: database, scheduler.pulse)
    heartbeat.start()
    scheduler.beat()
    beats.start()
    log.info("scheduler started: %d wake-ups", len(WAKE_UPS))
    while not drain.wait(1.0):
        if scheduler.look():
            log.error("no tick finished for %s s: exiting, to be restarted", STUCK_AFTER)
            os._exit(1)
    beats.shutdown(wait=False)
    scheduler.leave()
    heartbeat.leave()
    database.dispose()
    return 0
