"""Jobs of other services: one task for each job, which keeps its one outcome in the inbox and returns it."""

import logging
import random
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NoReturn

from celery import Celery, Task
from celery.backends.base import BaseKeyValueStoreBackend
from celery.exceptions import Reject
from celery.states import SUCCESS

from orchestrator.client.options import NOOP
from orchestrator.client.outcomes import refused, succeeded
from orchestrator.client.requests import JOBS
from orchestrator.flows.engine.crowd import LOOK_AGAIN, AccountBusy
from orchestrator.flows.engine.failures import log_failure
from orchestrator.flows.engine.services import Services
from orchestrator.flows.jobs.perform import failed_at_every_try, give_up, perform_once
from orchestrator.observability import tracing
from orchestrator.rules.installation.delivery_times import NOT_AFTER, NOT_BEFORE, RETRY_AFTER
from orchestrator.rules.installation.messages import AUTHOR, LONGEST_AUTHOR
from orchestrator.rules.refusals import ErrorCode, Refusal
from orchestrator.store.core.error_classes import ErrorClass, error_class
from orchestrator.store.database import StoreError, StoreOutage
from orchestrator.tasks.any_arguments import AnyArguments
from orchestrator.tasks.job_times import NotDueYet, in_time, needs_due

log = logging.getLogger(__name__)

#: Seconds until a job that could not be done is retried.
RETRY_SECONDS = 5
#: The longest wait of a job of a busy account, in seconds. It waits twice as long each time: in a long line, vain
#: attempts cost more than the work (200 creates of one account: 13 s with a wait of half a second).
LONGEST_LOOK_AGAIN = 4.0
#: A job waits for a database that is down, however long. A failure of this job alone, while the database is up, is a
#: defect: it is tried this often, and then its outcome is `internal_error`.
TRIES_OF_A_DEFECT = 60
#: The message's header that counts these tries.
FAILURES = "orchestrator_failures"


def register(app: Celery, services: Callable[[], Services]) -> None:
    """Make every job of the contract a task of `app`."""
    for name in JOBS:
        task: Any = app.task(
            name=name,
            base=AnyArguments,
            shared=False,
            bind=True,
            typing=False,  # wrong arguments lead to an outcome too
            ignore_result=False,
            max_retries=None,
            resultrepr_maxsize=0,  # Celery renders each outcome for a line that is not logged: 0.3 ms of CPU
        )(_job(name, services))
        task.backend = Results(app)
    app.task(name=NOOP, base=AnyArguments, shared=False, typing=False, ignore_result=False)(_nothing)


def _nothing(*args: object, **kwargs: object) -> dict[str, Any]:
    """Answer without writing a row, for `orchestrator doctor`."""
    if args or kwargs:
        return refused(Refusal(ErrorCode.INVALID_REQUEST, f"{NOOP} takes no arguments", faults=[]))
    return succeeded({})


class Results:
    """Store outcomes for the callers that wait.

    An outcome that cannot be stored does not fail its job, which is done: Celery would report a failure, and the caller
    would repeat the job. Instead, a caller without an answer asks again. The last answer replaces earlier ones: Celery
    itself would keep the first, which may be that of another job under the same task id."""

    def __init__(self, app: Any) -> None:
        self._app = app  # it has one backend for each thread

    def __getattr__(self, name: str) -> Any:
        return getattr(self._app.backend, name)

    def mark_as_retry(self, *_: Any, **__: Any) -> None:
        """Store nothing: the outcome is still to come."""

    def mark_as_done(
        self,
        task_id: str,
        result: Any,
        request: Any = None,
        store_result: Any = True,  # noqa: FBT002  (as Celery calls it)
        **kwargs: Any,
    ) -> None:
        """Store the outcome, if its caller waits for one."""
        try:
            backend = self._app.backend
            if store_result and isinstance(backend, BaseKeyValueStoreBackend):
                _replace(backend, task_id, result, request)
                store_result = False
            else:
                with suppress(NotImplementedError):  # raised by stores that keep nothing
                    backend.forget(task_id)
            backend.mark_as_done(task_id, result, request, store_result, **kwargs)
        except Exception as error:  # noqa: BLE001  (whatever the broker does, the inbox has it)
            log.warning(
                "the outcome of job %s cannot be stored for its caller: %s",
                task_id,
                type(error).__name__,
            )


def _replace(backend: Any, task_id: str, result: Any, request: Any) -> None:
    """Store an outcome over any earlier one, in one round trip. Celery itself would read first, to keep the earlier."""
    meta = backend._get_result_meta(result=result, state=SUCCESS, traceback=None, request=request)  # noqa: SLF001
    backend.set(backend.get_key_for_task(task_id), backend.encode({**meta, "task_id": task_id}))


def _job(name: str, services: Callable[[], Services]) -> Any:
    def run(self: "Task[..., Any]", /, *args: Any, **kwargs: Any) -> dict[str, Any]:
        task_id = self.request.id
        assert task_id is not None
        ready = _ready(self, services)
        headers = self.request.headers or {}
        try:
            needs_due(ready, headers.get(NOT_BEFORE))
            with tracing.called_by(headers.get("traceparent")):
                return perform_once(
                    ready,
                    task_id,
                    name,
                    list(args) if args else kwargs,
                    author=author_of(self),
                    precondition=in_time(headers.get(NOT_BEFORE), headers.get(NOT_AFTER)),
                ).outcome
        except NotDueYet as early:
            _again(self, early, after=early.seconds)
        except StoreOutage as error:
            _again(self, error)
        except AccountBusy as error:  # meanwhile this thread does other accounts' jobs
            _again(self, error, after=_longer_than_last(self))
        except Exception as error:  # noqa: BLE001  (it is logged, retried, and has an outcome in the end)
            return _defect(self, ready, name, error)

    return run


def _ready(task: "Task[..., Any]", services: Callable[[], Services]) -> Services:
    """Return the objects of this process. A configuration that is just being written, or a database that is down, does
    not fail the job."""
    try:
        return services()
    except Exception as error:  # noqa: BLE001  (the job waits, whatever it is)
        log.error("job %s waits: this process cannot work yet: %s", task.request.id, _kind(error))
        _again(task, error)


def _defect(task: "Task[..., Any]", services: Services, name: str, error: Exception) -> dict[str, Any]:
    """Try again. After the last try, save an outcome that says that the job cannot be done."""
    if error_class(error) is ErrorClass.TIMED_OUT:
        _wait_while_slow(task, services, error)
    task_id, failures = str(task.request.id), _failures(task) + 1
    if failures < TRIES_OF_A_DEFECT:
        log.warning("job %s failed, try %d of %d: %s", task_id, failures, TRIES_OF_A_DEFECT, _kind(error))
        _again(task, error, failures=failures)
    log_failure(log, error, f"job {task_id} ({name}) failed at every try; its outcome says so")
    try:
        return give_up(services, task_id, name, _kind(error))
    except StoreOutage as down:  # then the outcome is saved at a later try
        _again(task, down, failures=failures - 1)
    except (
        StoreError
    ) as refused:  # the database cannot hold what the job brings: its outcome is not kept either
        log_failure(log, refused, f"the outcome of job {task_id} ({name}) cannot be saved")
        return failed_at_every_try(_kind(error))


def _wait_while_slow(task: "Task[..., Any]", services: Services, error: Exception) -> None:
    """Wait while the database is slow. If a small write fails as well, a timeout does not count as a failure of this
    job."""
    try:
        services.database.prove_writes()
    except StoreError:
        _again(task, error)


def _failures(task: "Task[..., Any]") -> int:
    """Return how often this job itself has failed. An outage that it waited for does not count."""
    failures = (task.request.headers or {}).get(FAILURES, 0)
    return min(max(0, failures), TRIES_OF_A_DEFECT) if isinstance(failures, int) else 0


def author_of(task: "Task[..., Any]") -> str | None:
    """Return who sent the job, where its message says so."""
    author = (task.request.headers or {}).get(AUTHOR)
    return author[:LONGEST_AUTHOR] if isinstance(author, str) and author.isprintable() and author else None


def _longer_than_last(task: "Task[..., Any]") -> float:
    """Return the seconds until a job of a busy account is retried. They vary, so that jobs that came together are
    retried apart."""
    last: float = (task.request.headers or {}).get(RETRY_AFTER, 0)
    wait: float = min(max(LOOK_AGAIN, 2 * last), LONGEST_LOOK_AGAIN)
    return wait * random.uniform(0.75, 1.0)


def _again(
    task: "Task[..., Any]", error: Exception, *, failures: int | None = None, after: float = RETRY_SECONDS
) -> NoReturn:
    """Send the job again; the worker that takes it waits first.

    Celery's own countdown would become an eta, which a worker with a slow clock holds for hours. `failures`: how often
    the job itself has failed; None: as before. The error may contain the statement's parameters, so only its kind
    leaves the process."""
    headers: Any = {FAILURES: _failures(task) if failures is None else failures, RETRY_AFTER: after}
    sent: Any = task.request.headers or {}
    headers |= {name: sent[name] for name in (NOT_BEFORE, NOT_AFTER) if name in sent}
    if (author := author_of(task)) is not None:
        headers[AUTHOR] = author
    try:
        raise task.retry(exc=RuntimeError(f"not done yet: {_kind(error)}"), countdown=0, headers=headers)
    except Reject as unsent:  # it cannot be sent either: its message stays, and is delivered again
        raise Reject(unsent.args[0], requeue=True) from None


def _kind(error: Exception) -> str:
    return str(error) if isinstance(error, StoreOutage) else type(error).__name__
