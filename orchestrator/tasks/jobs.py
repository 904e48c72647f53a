"""Jobs of other services: one task each, which keeps its one outcome in the inbox and returns it."""

from collections.abc import Callable
from typing import Any

from celery import Celery, Task

from orchestrator.client.requests import JOBS
from orchestrator.flows.jobs import perform
from orchestrator.flows.services import Services
from orchestrator.store.database import StoreError

#: A job that met a database that is down is tried again so often, so many seconds apart. Its row decides then.
RETRIES, RETRY_SECONDS = 60, 5


def register(app: Celery, services: Callable[[], Services]) -> None:
    """Make every job of the contract a task of `app`."""
    for name in JOBS:
        app.task(
            name=name,
            shared=False,
            bind=True,
            typing=False,  # wrong arguments are an outcome too
            ignore_result=False,
            max_retries=RETRIES,
            default_retry_delay=RETRY_SECONDS,
        )(_job(name, services))


def _job(name: str, services: Callable[[], Services]) -> Any:
    def run(self: "Task[..., Any]", *args: Any, **kwargs: Any) -> dict[str, Any]:
        task_id = self.request.id
        assert task_id is not None
        try:
            return perform(services(), task_id, name, list(args) if args else kwargs)
        except StoreError as error:
            # The error may carry the statement's parameters: only its kind leaves the process.
            raise self.retry(exc=RuntimeError(f"the database failed: {type(error).__name__}")) from None

    return run
