"""The Celery application, and what one worker process holds: built lazily, after the fork."""

import os
import threading
from collections.abc import Callable, Sequence
from typing import Any

from celery import Celery

from orchestrator import wiring
from orchestrator.client.options import JOBS_QUEUE, celery_options
from orchestrator.client.stream import connect
from orchestrator.flows.deliver_events import LogSink, Sink
from orchestrator.flows.services import Services
from orchestrator.flows.upkeep import sync_credentials
from orchestrator.settings import Settings, load_settings
from orchestrator.store.database import StoreOutage
from orchestrator.tasks import jobs, refusals, ticks
from orchestrator.tasks.outage import Outage
from orchestrator.tasks.waker import Waker

#: Seconds after which a wake-up that nobody took is worth nothing. Far above a tick, because the clocks of two
#: machines may differ by more than that, and a worker whose clock is ahead must not drop every one.
WAKE_UP_EXPIRES = 60


class Process:
    """What this worker process holds. A copy that came through a fork builds its own."""

    def __init__(self, app: Celery, settings: Settings) -> None:
        self._app = app
        self._settings = settings
        self._lock = threading.Lock()
        self._pid = 0
        self._built: wiring.Built | None = None
        self._leaving = False
        self._sinks: Sequence[Sink] = ()
        self.outage = Outage()

    @property
    def services(self) -> Services:
        """For the flows of this process."""
        return self._ready().services

    @property
    def surroundings(self) -> ticks.Surroundings:
        """For its ticks."""
        return ticks.Surroundings(services=self._ready().services, sinks=self._sinks)

    @property
    def leaving(self) -> bool:
        """Was it told to leave? Then it begins nothing more."""
        return self._leaving

    def prepare(self) -> None:
        """Build what is built with the first task, now. Raises what that raises."""
        self._ready()

    def prove_writes(self) -> None:
        """Write one row. Raises what the database raises."""
        self._ready().services.database.prove_writes()

    def leave(self) -> None:
        """Claim nothing more; what is claimed and not begun is given back."""
        self._leaving = True
        with self._lock:
            if self._built is not None:
                self._built.services.slots.close()

    def drop(self) -> None:
        """Wait no longer for what another process can as well do."""
        with self._lock:
            if self._built is not None:
                self._built.services.loop.drop()

    def close(self) -> None:
        """Give everything back."""
        with self._lock:
            if self._built is not None and self._pid == os.getpid():
                self._built.close()
            self._built = None

    def _ready(self) -> wiring.Built:
        with self._lock:
            if self._built is None or self._pid != os.getpid():
                self._built, self._pid = self._build(), os.getpid()
                if self._leaving:
                    self._built.services.slots.close()
            return self._built

    def _build(self) -> wiring.Built:
        configuration = wiring.read_configuration(self._settings)
        waker = Waker(lambda step: publish(self._app, ticks.OF_STEP[step]))
        built = wiring.build(self._settings, configuration, wake=waker, pool_size=5)
        stream = connect(self._settings.broker_url, sentinel_master=self._settings.sentinel_master)
        self._sinks = (LogSink(), stream) if stream else (LogSink(),)
        sync_credentials(built.services)
        return built


def publish(app: Celery, name: str) -> None:
    """Send one wake-up, without a retry: the next one comes anyway."""
    queue = ticks.queue_of(ticks.TICKS[name].kind)
    app.send_task(name, queue=queue, expires=WAKE_UP_EXPIRES, ignore_result=True, retry=False)


def make_app(settings: Settings | None = None) -> tuple[Celery, Process]:
    """An application that knows every task, and what its worker process holds. `settings`: by default those of
    the environment."""
    settings = settings or load_settings()
    refusals.hide_contents()
    app: Celery = Celery(
        "orchestrator", broker=settings.broker_url, backend=settings.result_url, set_as_current=False
    )
    queues = [ticks.queue_of(kind) for kind in (ticks.CONTROL, ticks.CLOSE, ticks.OPEN, ticks.PING)]
    app.conf.update(celery_options([JOBS_QUEUE, *queues], sentinel_master=settings.sentinel_master))
    app.conf.update(_worker_options())
    process = Process(app, settings)
    app.set_default()
    for name, tick in ticks.TICKS.items():  # one that raises is not repeated: the next is its retry
        app.task(name=name, shared=False, ignore_result=True, acks_late=False, max_retries=0)(
            _tick(process, tick)
        )
    jobs.register(app, lambda: process.services)
    for name in [name for name in app.tasks if name.startswith("celery.")]:
        app.tasks.unregister(name)  # what Celery brings along would run tasks of ours by the thousand
    return app, process


def _tick(process: Process, tick: ticks.Tick) -> Callable[..., None]:
    def run(*_strange: object, **_arguments: object) -> None:  # nobody sends any, and no error tells of them
        if process.leaving:  # the next tick goes to another worker
            return
        try:
            tick.run(process.surroundings)
            process.outage.over(process.prove_writes)
        except StoreOutage as error:
            process.outage.told(error)

    return run


def _worker_options() -> dict[str, Any]:
    return {
        "worker_prefetch_multiplier": 1,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "worker_send_task_events": False,
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        "worker_enable_remote_control": False,  # its fan-out needs topic exchanges, which a flush breaks
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        "task_retry_on_worker_lost": True,
        "task_acks_on_failure_or_timeout": True,  # the row decides on retries
    }
