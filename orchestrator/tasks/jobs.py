"""Jobs of other services: one task each, which keeps its one outcome in the inbox and returns it."""

import logging
from collections.abc import Callable
from typing import Any, NoReturn

from celery import Celery, Task
from celery.exceptions import Reject

from orchestrator.client.requests import JOBS
from orchestrator.flows.jobs import perform
from orchestrator.flows.services import Services
from orchestrator.store.database import STORE_DOWN, StoreError

log = logging.getLogger(__name__)

#: Seconds until a job that the database did not take is tried again.
RETRY_SECONDS = 5
#: A database that is down comes back, however late, and the job waits for it. What fails while it is up, and on
#: this job alone, is a defect: it is tried so often, and then Celery says that it failed.
TRIES_OF_A_DEFECT = 60


def register(app: Celery, services: Callable[[], Services]) -> None:
    """Make every job of the contract a task of `app`."""
    for name in JOBS:
        task: Any = app.task(
            name=name,
            shared=False,
            bind=True,
            typing=False,  # wrong arguments are an outcome too
            ignore_result=False,
            max_retries=None,
            default_retry_delay=RETRY_SECONDS,
        )(_job(name, services))
        task.backend = Results(app)


class Results:
    """Where outcomes are put for who waits. One that cannot be put there is no failure of its job, which is done:
    Celery would say so, and who believed it would do it again. Who hears nothing asks again, and is told."""

    def __init__(self, app: Any) -> None:
        self._app = app  # it has one backend for each thread

    def __getattr__(self, name: str) -> Any:
        return getattr(self._app.backend, name)

    def mark_as_done(self, task_id: str, *args: Any, **kwargs: Any) -> None:
        try:
            self._app.backend.mark_as_done(task_id, *args, **kwargs)
        except Exception as error:  # noqa: BLE001  (whatever the broker does, the inbox has it)
            log.warning(
                "the outcome of job %s cannot be put where one waits for it: %s",
                task_id,
                type(error).__name__,
            )


def _job(name: str, services: Callable[[], Services]) -> Any:
    def run(self: "Task[..., Any]", /, *args: Any, **kwargs: Any) -> dict[str, Any]:
        task_id = self.request.id
        assert task_id is not None
        try:
            return perform(services(), task_id, name, list(args) if args else kwargs)
        except StoreError as error:
            _again(self, error)

    return run


def _again(task: "Task[..., Any]", error: StoreError) -> NoReturn:
    """Send it once more, for later. The error may carry the statement's parameters: only its kind leaves the
    process."""
    most = None if isinstance(error, STORE_DOWN) else TRIES_OF_A_DEFECT
    try:
        raise task.retry(exc=RuntimeError(f"the database failed: {type(error).__name__}"), max_retries=most)
    except Reject as unsent:  # nor can it be sent: it stays where it is, and is delivered again
        raise Reject(unsent.args[0], requeue=True) from None
