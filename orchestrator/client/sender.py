"""Send jobs and read their outcomes, over a plain Celery app."""

import re
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from orchestrator.client.base import Request
from orchestrator.client.job_methods import TIMEOUT, CallJob, JobMethod, JobMethods, R, T
from orchestrator.client.options import JOBS_QUEUE, NOOP, celery_options
from orchestrator.client.parsing import arguments_of, needs_known_job
from orchestrator.rules.installation.messages import AUTHOR, LONGEST_AUTHOR, task_id_fault
from orchestrator.rules.installation.secret_texts import redacted_url, with_certificates_checked
from orchestrator.rules.refusals import ErrorCode, Refusal

if TYPE_CHECKING:
    from celery import Celery

#: Seconds to find out that nothing answers: a person waits for it.
_CONNECT_TIMEOUT = 3
_ANSWER_TIMEOUT = 4
#: Seconds between two looks for an outcome: the first, and the longest.
_FIRST_LOOK, _LONGEST_LOOK = 0.005, 0.2
_NO_RESULTS = "disabled://"
#: How Redis refuses a write: by its client's errors, or by its own word, before which may stand the command.
_WRITES_REFUSED = frozenset({"OutOfMemoryError", "ReadOnlyError"})
_WRITES_REFUSED_WORDS = re.compile(r"(?:^|: )((?:OOM|READONLY|MISCONF|NOREPLICAS) .*)")


class BrokerUnreachable(Exception):
    """It is not known whether the job was sent: send it again under the same task id once the broker is back."""


class BrokerRefused(BrokerUnreachable):
    """The broker answers, and refuses these credentials."""


class JobBroken(Exception):
    """The worker failed on the job. This is a defect of ours, which its log describes. The job was not refused."""


class JobClient(JobMethods):
    """Sends jobs to the orchestrator behind these two URLs."""

    def __init__(
        self,
        broker_url: str,
        result_url: str,
        *,
        sentinel_master: str | None = None,
        author: str | None = None,
    ) -> None:
        """Keep the URLs. Celery is imported by the first call that needs the broker. `author`: who sends the jobs, for
        the history of sessions, at most 100 characters."""
        self._urls = (broker_url, result_url)
        self._headers = {} if author is None else {AUTHOR: author[:LONGEST_AUTHOR]}
        self._sentinel_master = sentinel_master
        self._making = threading.Lock()
        self._made: _Apps | None = None

    def check(self) -> None:
        """Raise BrokerUnreachable where the broker does not answer."""
        with self._reaching_the_broker(), self._apps().sender.connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=_CONNECT_TIMEOUT)

    def send(self, name: str, kwargs: Request | Mapping[str, Any], task_id: str | None = None) -> str:
        """Enqueue a job and return its task id, by which the outcome is found. A repeated send under this id is
        harmless. Raises Refusal for a job that does not exist, for a task id under which no outcome can be saved, and
        for values that are no JSON."""
        if name != NOOP:
            needs_known_job(name)
        fault = None if task_id is None else task_id_fault(task_id)
        if fault is not None:
            raise Refusal(ErrorCode.INVALID_REQUEST, fault)
        arguments = arguments_of(kwargs)
        with self._reaching_the_broker():
            if task_id is not None:
                self._forget(task_id)
            task_id = task_id or str(uuid.uuid4())
            self._apps().sender.send_task(
                name,
                kwargs=arguments,
                task_id=task_id,
                queue=JOBS_QUEUE,
                ignore_result=False,
                headers=self._headers,
            )
        return task_id

    def wait(self, task_id: str, timeout: float) -> dict[str, Any] | None:
        """Return the outcome, or None if there is none after `timeout` seconds. Raises JobBroken."""
        give_up_at = time.monotonic() + timeout
        waits = pauses()
        with self._reaching_the_broker():
            while not (found := self._look(task_id)) and time.monotonic() < give_up_at:
                time.sleep(max(0, min(next(waits), give_up_at - time.monotonic())))
        return found

    def call(
        self,
        name: str,
        kwargs: Request | Mapping[str, Any],
        timeout: float = TIMEOUT,
        task_id: str | None = None,
    ) -> dict[str, Any] | None:
        """Send and wait."""
        return self.wait(self.send(name, kwargs, task_id), timeout)

    def method_for(self, method: JobMethod[R, T]) -> CallJob[R, T]:
        """Return the function that sends this job and waits for its result."""

        def job(
            request: R | None = None,
            /,
            *,
            timeout: float = TIMEOUT,
            task_id: str | None = None,
            **fields: Any,
        ) -> T:
            sent = self.send(method.name, method.arguments(request, fields), task_id)
            return method.result(self.wait(sent, timeout), sent, timeout)

        return job

    def close(self) -> None:
        """Close the connections."""
        if self._made is not None:
            self._made.sender.close()
            self._made.results.close()

    def __enter__(self) -> "JobClient":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _apps(self) -> "_Apps":
        with self._making:  # many threads may share a client
            if self._made is None:
                self._made = _apps_for(*self._urls, self._sentinel_master)
            return self._made

    def _forget(self, task_id: str) -> None:
        """Delete an outcome that exists already: it may be that of another job, and this job is answered again."""
        with suppress(NotImplementedError):  # by stores that keep nothing
            self._apps().results.backend.forget(task_id)

    def _look(self, task_id: str) -> dict[str, Any] | None:
        from celery.exceptions import SecurityError

        try:
            found = self._apps().results.backend.get_task_meta(task_id)
        except (ValueError, TypeError, SecurityError):  # a failure that Celery itself cannot read
            raise JobBroken(
                f"the worker failed on job {task_id}, its error cannot be read: see its log"
            ) from None
        if found["status"] in {"FAILURE", "REVOKED"}:
            raise JobBroken(f"the worker failed on job {task_id}: see its log")
        if found["status"] != "SUCCESS":
            return None
        if not isinstance(found["result"], Mapping):
            raise JobBroken(
                f"the result store holds something that is not an outcome for job {task_id}: does another "
                "program use it?"
            )
        return dict(found["result"])

    @contextmanager
    def _reaching_the_broker(self) -> Iterator[None]:
        """Turn each library's error of a lost connection into one sentence without a password."""
        from celery.exceptions import BackendError
        from kombu.exceptions import OperationalError
        from redis.exceptions import RedisError

        try:
            yield
        # AttributeError: kombu replaces its channel where declaring the queue fails at first, and publishes on the old
        # one, which is closed.
        except (OperationalError, BackendError, RedisError, OSError, AttributeError) as error:
            broker, result = (redacted_url(url) for url in self._urls)
            both = result not in (broker, _NO_RESULTS)
            where = f"broker {broker}" + (f" or result store {result}" if both else "")
            full = refused_writes(error)
            if full is not None:
                raise BrokerUnreachable(f"{where} {full}") from None
            kind = BrokerRefused if _refuses(error) else BrokerUnreachable
            raise kind(
                f"{where} does not answer ({_cause(error)}): start it (`orchestrator up`), "
                "or correct ORCHESTRATOR_BROKER_URL and ORCHESTRATOR_RESULT_URL"
            ) from None


def pauses() -> Iterator[float]:
    """Yield the seconds between two looks for an outcome."""
    pause = _FIRST_LOOK
    while True:
        yield pause
        pause = min(pause * 1.5, _LONGEST_LOOK)


def writes_refused(words: str) -> str:
    """Return what is wrong with a Redis that answers but refuses writes, and what to do."""
    return (
        f"refuses writes ({words[:200]}): give it memory or disk, or name its primary in ORCHESTRATOR_BROKER_URL;"
        " until then jobs and events wait"
    )


def refused_writes(error: BaseException) -> str | None:
    """Return `writes_refused` if this error means it: Redis is full, cannot save, or is a replica."""
    if isinstance(error, AttributeError):  # what it was that kombu lost its channel by may be over
        return None
    for one in _chain(error):
        words = (str(one).strip().splitlines() or [""])[0]
        named = _WRITES_REFUSED_WORDS.search(words)
        if named is not None or type(one).__name__ in _WRITES_REFUSED:
            return writes_refused(named[1] if named else words)
    return None


def _refuses(error: BaseException) -> bool:
    """Return whether the broker refused the user or its password. Compare names of classes, since an AMQP library may
    be absent."""
    names = {kind.__name__ for one in _chain(error) for kind in type(one).__mro__}
    return bool(names & {"AuthenticationError", "AuthenticationWrongNumberOfArgsError", "AccessRefused"})


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _cause(error: BaseException) -> str:
    """Return the underlying error's message: Celery wraps it without a message of its own."""
    if isinstance(error, AttributeError):
        return "the connection was lost while sending"
    while error.__cause__ is not None:
        error = error.__cause__
    words = str(error).strip().splitlines()
    return words[0] if words else type(error).__name__


def check_broker(broker_url: str, *, sentinel_master: str | None = None) -> None:
    """Raise BrokerUnreachable where nothing answers there."""
    with JobClient(broker_url, _NO_RESULTS, sentinel_master=sentinel_master) as client:
        client.check()


class _Apps(NamedTuple):
    """The Celery apps of a client."""

    sender: "Celery"
    results: "Celery"


def _apps_for(broker_url: str, result_url: str, sentinel_master: str | None) -> _Apps:
    """Return the app that sends and the one that reads outcomes.

    Over Redis, sending needs no result store: its subscriptions do not survive a lost connection. Over rpc:// both are
    one app, as the reply comes to the sender."""
    options = _hasty(celery_options(sentinel_master=sentinel_master))
    results = _app(broker_url, result_url, options)
    if result_url.startswith("rpc:"):
        return _Apps(sender=results, results=results)
    return _Apps(sender=_app(broker_url, _NO_RESULTS, options), results=results)


def _app(broker_url: str, result_url: str, options: Mapping[str, Any]) -> "Celery":
    from celery import Celery

    broker, backend = with_certificates_checked(broker_url), with_certificates_checked(result_url)
    app = Celery("orchestrator-client", broker=broker, backend=backend, set_as_current=False)
    app.conf.update(options)
    return app


def _hasty(options: dict[str, Any]) -> dict[str, Any]:
    """Return shorter timeouts than a worker's, since a person or a request waits for the client."""
    timeouts = {"socket_timeout": _ANSWER_TIMEOUT, "socket_connect_timeout": _CONNECT_TIMEOUT}
    return options | {
        "broker_connection_timeout": _CONNECT_TIMEOUT,
        "broker_transport_options": options["broker_transport_options"] | timeouts,
        "redis_socket_timeout": _ANSWER_TIMEOUT,
        "redis_socket_connect_timeout": _CONNECT_TIMEOUT,
    }
