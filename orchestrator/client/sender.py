"""Sending jobs and reading their outcomes, over a plain Celery app."""

import re
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from orchestrator.client.options import JOBS_QUEUE, celery_options
from orchestrator.rules.installation.messages import task_id_fault
from orchestrator.rules.refusals import ErrorCode, Refusal
from orchestrator.settings import redacted_url

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
    """Whether the job was sent is not known: send it again under the same task id once the broker is back."""


class BrokerRefused(BrokerUnreachable):
    """The broker answers, and refuses these credentials."""


class JobBroken(Exception):
    """The worker failed on the job, which is a defect of ours: its log says more. Nothing was refused."""


class JobClient:
    """Sends jobs to the orchestrator behind these two URLs."""

    def __init__(self, broker_url: str, result_url: str, *, sentinel_master: str | None = None) -> None:
        self._urls = (broker_url, result_url)
        options = _hasty(celery_options(sentinel_master=sentinel_master))
        self._results = _app(broker_url, result_url, options)
        # Over Redis, sending needs no result store: its subscriptions do not survive a lost connection.
        # Over rpc:// both are one: the reply comes to the sender.
        answered_to_sender = result_url.startswith("rpc:")
        self._sender = self._results if answered_to_sender else _app(broker_url, _NO_RESULTS, options)

    def check(self) -> None:
        """Raise BrokerUnreachable where the broker does not answer."""
        with self._reaching_the_broker(), self._sender.connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=_CONNECT_TIMEOUT)

    def send(self, name: str, kwargs: Mapping[str, Any], task_id: str | None = None) -> str:
        """Enqueue; the task id returned also finds the outcome, and makes a repeated send harmless.

        Raises Refusal for a task id under which no outcome can be kept."""
        fault = None if task_id is None else task_id_fault(task_id)
        if fault is not None:
            raise Refusal(ErrorCode.INVALID_REQUEST, fault)
        with self._reaching_the_broker():
            if task_id is not None:
                self._forget(task_id)
            task_id = task_id or str(uuid.uuid4())
            self._sender.send_task(
                name, kwargs=dict(kwargs), task_id=task_id, queue=JOBS_QUEUE, ignore_result=False
            )
        return task_id

    def wait(self, task_id: str, timeout: float) -> dict[str, Any] | None:
        """Return the outcome, or None where there is none after `timeout` seconds. Raises JobBroken."""
        give_up_at = time.monotonic() + timeout
        pause = _FIRST_LOOK
        with self._reaching_the_broker():
            while not (found := self._look(task_id)) and time.monotonic() < give_up_at:
                time.sleep(max(0, min(pause, give_up_at - time.monotonic())))
                pause = min(pause * 1.5, _LONGEST_LOOK)
        return found

    def call(
        self, name: str, kwargs: Mapping[str, Any], timeout: float = 30, task_id: str | None = None
    ) -> dict[str, Any] | None:
        """Send and wait."""
        return self.wait(self.send(name, kwargs, task_id), timeout)

    def close(self) -> None:
        """Give back the connections."""
        self._sender.close()
        self._results.close()

    def __enter__(self) -> "JobClient":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _forget(self, task_id: str) -> None:
        """Drop an outcome that is there already: it may be that of another job, and this one is answered again."""
        with suppress(NotImplementedError):  # by stores that keep nothing
            self._results.backend.forget(task_id)

    def _look(self, task_id: str) -> dict[str, Any] | None:
        from celery.exceptions import SecurityError

        try:
            found = self._results.backend.get_task_meta(task_id)
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
                f"the result store holds no outcome for job {task_id}, but something else: is it ours alone?"
            )
        return dict(found["result"])

    @contextmanager
    def _reaching_the_broker(self) -> Iterator[None]:
        """Turn every library's way of saying "no connection" into one sentence without a password."""
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


def writes_refused(words: str) -> str:
    """Return what is wrong with a Redis that answers and takes no writes, and what to do."""
    return (
        f"refuses writes ({words[:200]}): give it memory or disk, or name its primary in ORCHESTRATOR_BROKER_URL;"
        " until then jobs and events wait"
    )


def refused_writes(error: BaseException) -> str | None:
    """Return `writes_refused` where this error says so: Redis is full, cannot save, or is a replica."""
    if isinstance(error, AttributeError):  # what it was that kombu lost its channel by may be over
        return None
    for one in _chain(error):
        words = (str(one).strip().splitlines() or [""])[0]
        named = _WRITES_REFUSED_WORDS.search(words)
        if named is not None or type(one).__name__ in _WRITES_REFUSED:
            return writes_refused(named[1] if named else words)
    return None


def _refuses(error: BaseException) -> bool:
    """Return whether the broker refused the user or its password. By name: an AMQP library may be absent."""
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


def _app(broker_url: str, result_url: str, options: Mapping[str, Any]) -> "Celery":
    from celery import Celery

    app = Celery("orchestrator-client", broker=broker_url, backend=result_url, set_as_current=False)
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
