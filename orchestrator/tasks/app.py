"""The Celery application, and the objects of one worker process, which are built after the fork, when they are
needed."""

import os
import threading
from collections.abc import Callable, Sequence
from typing import Any

from celery import Celery

from orchestrator import wiring
from orchestrator.client.options import JOBS_QUEUE, celery_options
from orchestrator.client.stream import connect
from orchestrator.flows.engine.crowd import LINES_OF_JOBS, OF_ANSWERS, OF_JOBS, Crowd
from orchestrator.flows.engine.loop import EventLoop
from orchestrator.flows.engine.services import Services
from orchestrator.flows.operations.deliver_events import Sink, with_the_log
from orchestrator.flows.operations.webhooks import sync_webhooks
from orchestrator.flows.upstream.credentials import sync_credentials
from orchestrator.rules.installation.liveness import CONTROL, KINDS
from orchestrator.rules.states import Step
from orchestrator.settings import Settings, load_settings
from orchestrator.tasks import jobs, ticks
from orchestrator.tasks.any_arguments import AnyArguments
from orchestrator.tasks.file_room import make_room
from orchestrator.tasks.intake import consumer_that_parks
from orchestrator.tasks.liveness import Pulse
from orchestrator.tasks.outage import Outage
from orchestrator.tasks.parked_copies import copies_behind
from orchestrator.tasks.parking import Parking
from orchestrator.tasks.runner import Runners
from orchestrator.tasks.wake_ups import OF_STEP, WAKE_UPS, queue_of
from orchestrator.tasks.waker import Waker, WakeUps


class Process:
    """The objects of this worker process. A copy made by a fork builds its own."""

    def __init__(self, app: Celery, settings: Settings, kind: str | None, connections: int) -> None:
        self._app = app
        self._connections = connections
        self._settings = settings
        self._lock = threading.Lock()
        self._pid = 0
        self._built: wiring.Built | None = None
        self._leaving = False
        self._sinks: Sequence[Sink] = ()
        self.outage = Outage()
        self._kind = kind
        self.pulse = Pulse(kind or "")
        self.lost: Callable[[BaseException], None] = _end_at_once
        """Called with the error that ended this process's event loop; ends the process."""
        self.runners = Runners(
            kind or "", lambda: self.surroundings, self.outage, self.pulse, prove=self.prove_writes
        )
        self._waker = Waker(WakeUps(app).send)
        self.parking = Parking(lambda: self.services.database, copies_behind(settings), self._answer)

    @property
    def services(self) -> Services:
        """The services for the flows of this process."""
        return self._ready().services

    @property
    def surroundings(self) -> ticks.TickContext:
        """The context for the ticks of this process."""
        built = self._ready()
        return ticks.TickContext(services=built.services, sinks=self._sinks, webhooks=built.webhooks)

    def prepare(self) -> None:
        """Build now what the first task would build. Raises the same errors."""
        self._ready()

    def prove_writes(self) -> None:
        """Write one row. Raises the database's error."""
        self._ready().services.database.prove_writes()

    def leave(self) -> None:
        """Claim nothing further, and give back claims that have not begun."""
        self._leaving = True
        self.runners.leave()
        with self._lock:
            if self._built is not None:
                self._built.services.slots.close()

    def drop(self) -> None:
        """Cancel work that another process can do as well."""
        with self._lock:
            if self._built is not None:
                self._built.services.loop.drop()

    def close(self) -> None:
        """Close all connections and threads."""
        self.parking.close()
        with self._lock:
            if self._built is not None and self._pid == os.getpid():
                self._built.close()
            self._built = None

    def _answer(self, task_id: str, outcome: dict[str, Any]) -> None:
        self._app.backend.mark_as_done(task_id, outcome)

    def _ready(self) -> wiring.Built:
        with self._lock:
            if self._built is None or self._pid != os.getpid():
                self._built, self._pid = self._build(), os.getpid()
                if self._leaving:
                    self._built.services.slots.close()
            return self._built

    def ring(self, name: str) -> None:
        """Ring the bell of a wake-up that the broker has delivered: rows may be due."""
        self.pulse.note_wake_up()
        self.runners.ring(name)

    def wake(self, steps: frozenset[Step]) -> None:
        """Ring the bells of these due steps here, and publish the wake-ups for other processes. Returns at once."""
        names = [OF_STEP[step] for step in steps]
        for name in names:
            self.runners.ring(name)
        self._waker(names)

    def _event_loop_ended(self, error: BaseException) -> None:
        self.lost(error)

    def _build(self) -> wiring.Built:
        configuration = wiring.read_configuration(self._settings)
        make_room(configuration)
        connections = self._connections
        built = wiring.build(
            self._settings,
            configuration,
            wake=self.wake,
            pool_size=connections,
            keeps_time=True,
            loop=EventLoop(self._event_loop_ended),
            crowd=Crowd(*OF_JOBS, LINES_OF_JOBS) if self._kind == CONTROL else Crowd(*OF_ANSWERS),
        )
        built.services.database.learn_time()
        built.services.slots.on_free = lambda step: self.runners.ring(OF_STEP[step])
        stream = connect(
            self._settings.broker_url,
            sentinel_master=self._settings.sentinel_master,
            most_bytes=configuration.retention.stream_bytes,
        )
        self._sinks = with_the_log(stream)
        sync_credentials(built.services)
        if self._kind == CONTROL:
            sync_webhooks(built.services)
        return built


def _end_at_once(_error: BaseException) -> None:
    os._exit(os.EX_SOFTWARE)


def make_app(
    settings: Settings | None = None, kind: str | None = None, connections: int = 5
) -> tuple[Celery, Process]:
    """Return an application with every task, and the objects of its worker process. `settings`: by default those of the
    environment. `kind`: the work of this process; None if it does none."""
    settings = settings or load_settings()
    app: Celery = Celery(
        "orchestrator", broker=settings.broker_url, backend=settings.result_url, set_as_current=False
    )
    queues = [queue_of(one) for one in KINDS]
    app.conf.update(celery_options([JOBS_QUEUE, *queues], sentinel_master=settings.sentinel_master))
    app.conf.update(_worker_options())
    process = Process(app, settings, kind, connections)
    app.conf.worker_consumer = consumer_that_parks(process.parking)
    app.set_default()
    for name in WAKE_UPS:
        make_task: Any = app.task(
            name=name,
            base=AnyArguments,
            shared=False,
            ignore_result=True,
            acks_late=False,
            max_retries=0,
        )
        make_task(_wake_up(process, name))
    jobs.register(app, lambda: process.services)
    for name in [name for name in app.tasks if name.startswith("celery.")]:
        app.tasks.unregister(name)  # Celery's built-in tasks could run ours by the thousand
    return app, process


def _wake_up(process: Process, name: str) -> Callable[..., None]:
    def ring(*_unexpected: object, **_arguments: object) -> None:  # expects no arguments; must not raise
        process.ring(name)

    return ring


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
