"""The outcome of a job, where its broker is down, or the database, or neither accepts it."""

import logging
from collections.abc import Callable
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery
from celery.app.trace import build_tracer
from celery.exceptions import Reject, Retry
from redis import ConnectionError as Gone
from sqlalchemy.exc import DataError, OperationalError

from orchestrator.flows.engine.crowd import LOOK_AGAIN, AccountBusy, Crowd
from orchestrator.flows.engine.services import Services
from orchestrator.rules.installation.delivery_times import RETRY_AFTER
from orchestrator.rules.installation.messages import AUTHOR
from orchestrator.settings import ConfigurationError, Settings
from orchestrator.store.core.error_classes import ErrorClass
from orchestrator.store.database import Database, StoreError, StoreOutage
from orchestrator.store.transaction import Transaction
from orchestrator.tasks import jobs
from orchestrator.tasks.app import make_app
from orchestrator.tasks.jobs import FAILURES, LONGEST_LOOK_AGAIN, RETRY_SECONDS, Results
from orchestrator.tasks.outage import Outage


class Backend:
    """Loses its connection whenever something is to be stored."""

    def __init__(self) -> None:
        self.failures: list[str] = []

    def forget(self, _task_id: str) -> None:
        raise NotImplementedError

    def mark_as_done(self, *_: Any, **__: Any) -> None:
        raise Gone("closed by server")

    def mark_as_retry(self, *_: Any, **__: Any) -> None:
        raise Gone("closed by server")

    def mark_as_failure(self, task_id: str, *_: Any, **__: Any) -> None:
        self.failures.append(task_id)

    def remove_pending_result(self, _result: Any) -> None:
        """Do nothing: none waits here."""

    def process_cleanup(self) -> None:
        """Do nothing: nothing is held."""


def traced(app: Any, name: str, kwargs: dict[str, Any], backend: Backend | None = None) -> Any:
    """Carry out such a message as a worker does."""
    task: Any = app.tasks[name]
    task.backend = Results(SimpleNamespace(backend=backend or Backend()))
    request = {"id": "job-1", "delivery_info": {"is_eager": False}, "root_id": "job-1"}
    trace: Any = build_tracer(name, task, app=app)
    return trace("job-1", [], kwargs, request)


class TooLong(Exception):
    sqlstate = "54000"


class TimedOut(Exception):
    sqlstate = "57014"


DOWN = StoreOutage(ErrorClass.DOWN, Gone("no"))
#: Errors of a defect of ours: none of them is about a database.
DEFECTS = (
    DataError("INSERT", {}, Exception("no")),
    OperationalError("INSERT", {}, TooLong("index row size 3032 exceeds btree version 4 maximum 2704")),
    OperationalError("INSERT", {}, TimedOut("canceling statement due to statement timeout")),
    KeyError("sk-planted"),
    AssertionError(),
)


class Failing:
    """A database that fails so with every job, and accepts outcomes."""

    def __init__(self, error: Exception, real: Database) -> None:
        self._error, self._real = error, real
        self.database = self
        self.crowd = Crowd()

    def transact(self, work: Any) -> Any:
        if "give_up" in work.__qualname__:
            return self._real.transact(work)
        raise self._error

    def prove_writes(self) -> None:
        self._real.prove_writes()


def tried(
    broker: str,
    services: Callable[[], Any],
    *,
    retries: int = 0,
    failures: int | None = None,
    waited: float | None = None,
    author: object = None,
) -> dict[str, Any]:
    """Retry a job that was sent so often already, and failed so often by itself."""
    app = Celery("jobs", broker=broker, set_as_current=False)
    app.conf.task_publish_retry = False
    jobs.register(app, services)
    task: Any = app.tasks["orchestrator.account.credit"]
    headers: Any = (
        None if failures is None else {FAILURES: failures} | ({RETRY_AFTER: waited} if waited else {})
    )
    if author is not None:
        headers = {AUTHOR: author}
    task.push_request(id="job-1", retries=retries, called_directly=False, args=[], kwargs={}, headers=headers)
    try:
        outcome: dict[str, Any] = task.run(account_id="acme")
    finally:
        task.pop_request()
    return outcome


def counted(again: Any) -> int:
    """Return the count of tries in the message that is sent again."""
    failures: int = again.sig.options["headers"][FAILURES]
    return failures


def down() -> Any:
    return Failing(DOWN, Database("sqlite://"))


def test_a_job_waits_for_a_database_that_is_down_however_long() -> None:
    with pytest.raises(Retry) as again:
        tried("memory://", down, retries=100_000, failures=59)
    assert counted(again.value) == 59, "and no try is counted"


def test_a_job_that_is_tried_again_carries_no_instant_of_its_sender() -> None:
    with pytest.raises(Retry) as again:
        tried("memory://", down)
    raised: Any = again.value
    options = raised.sig.options
    assert (options["countdown"], options["eta"], options["headers"][RETRY_AFTER]) == (0, None, RETRY_SECONDS)


@pytest.mark.parametrize(
    ("waited", "longest"),
    [(None, LOOK_AGAIN), (0.5, 1), (RETRY_SECONDS, LONGEST_LOOK_AGAIN), (60, LONGEST_LOOK_AGAIN)],
)
def test_a_job_whose_account_is_held_comes_again_soon_and_has_not_failed(
    sqlite_url: str, waited: float | None, longest: float
) -> None:
    with pytest.raises(Retry) as again:
        tried(
            "memory://",
            lambda: Failing(AccountBusy("acme"), Database(sqlite_url)),
            failures=59,
            waited=waited,
        )
    raised: Any = again.value
    headers = raised.sig.options["headers"]
    assert 0.7 * longest < headers[RETRY_AFTER] <= longest
    assert headers[FAILURES] == 59


@pytest.mark.parametrize(
    ("author", "kept"),
    [("ann@desk", "ann@desk"), ("a" * 200, "a" * 100), (7, None), ("\x1b[2J", None), ("", None)],
)
def test_a_job_that_is_tried_again_keeps_its_author(author: object, kept: str | None) -> None:
    with pytest.raises(Retry) as again:
        tried("memory://", down, author=author)
    raised: Any = again.value
    assert raised.sig.options["headers"].get(AUTHOR) == kept


def test_a_job_that_is_tried_again_has_not_failed_where_the_result_store_is_gone() -> None:
    app, backend = Celery("jobs", broker="memory://", set_as_current=False), Backend()
    jobs.register(app, down)
    done = traced(app, "orchestrator.account.credit", {"account_id": "acme"}, backend)
    assert (done.info.state, backend.failures) == ("RETRY", [])


@pytest.mark.parametrize("error", [ConfigurationError([]), DOWN])
def test_a_job_waits_for_a_process_that_cannot_be_built(error: Exception) -> None:
    def cannot() -> Services:
        raise error

    with pytest.raises(Retry):
        tried("memory://", cannot, retries=100_000)


@pytest.mark.parametrize("error", DEFECTS)
def test_what_fails_on_this_job_alone_is_its_outcome_in_the_end(
    sqlite_url: str, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    database = Database(sqlite_url)
    services = Failing(error, database)
    for retries, failures in [(0, None), (1, 1), (500, 58)]:  # an outage that it waited out is not counted
        with pytest.raises(Retry) as again:
            tried("memory://", lambda: services, retries=retries, failures=failures)
        assert counted(again.value) == (failures or 0) + 1
        assert "sk-planted" not in str(again.value)
    lost = tried("memory://", lambda: services, retries=59, failures=59)
    assert lost["error"]["code"] == "internal_error"
    assert "sk-planted" not in str(lost)
    with database.reading() as tx:
        assert tx.inbox.outcome("job-1") == lost
    assert tried("memory://", lambda: services, failures=59) == lost


def test_a_statement_that_times_out_in_a_slow_database_is_no_fault_of_its_job(sqlite_url: str) -> None:
    class Slow(Failing):
        def prove_writes(self) -> None:
            raise StoreError

    services = Slow(DEFECTS[2], Database(sqlite_url))
    with pytest.raises(Retry) as again:
        tried("memory://", lambda: services, retries=500, failures=59)
    assert counted(again.value) == 59


def test_a_job_whose_outcome_no_database_can_hold_ends_all_the_same(
    sqlite_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A task id of thousands of bytes fits no index: neither the job nor its outcome can have a row."""

    class Refusing(Failing):
        def transact(self, work: Any) -> Any:
            raise self._error

    services = Refusing(DEFECTS[1], Database(sqlite_url))
    lost = tried("memory://", lambda: services, retries=59, failures=59)
    assert lost["error"]["code"] == "internal_error"
    assert "cannot be saved" in caplog.text


def test_an_outcome_that_is_there_is_not_overwritten(sqlite_url: str) -> None:
    database = Database(sqlite_url)
    done = {"ok": True, "result": {}}

    def did_it_all_the_same(tx: Transaction) -> None:
        tx.inbox.take("job-1", "orchestrator.account.credit", tx.now())
        tx.inbox.settle("job-1", done)

    database.transact(did_it_all_the_same)
    assert tried("memory://", lambda: Failing(KeyError(), database), failures=59) == done


def test_a_job_that_cannot_be_sent_again_stays_in_its_queue() -> None:
    with pytest.raises(Reject) as rejected:
        tried("redis://127.0.0.1:1/0", down)
    _, requeue = rejected.value.args
    assert requeue


@pytest.mark.parametrize("strange", [{"self": "x"}, {"args": 1}, {"kwargs": {}}, {"task_id": "other"}])
def test_no_name_of_an_argument_breaks_a_job(sqlite_url: str, strange: dict[str, Any]) -> None:
    app, process = make_app(Settings(database_url=sqlite_url, broker_url="redis://127.0.0.1:1/0"))
    done = traced(app, "orchestrator.session.close", {"session_id": "nobody", **strange})
    process.close()
    assert done.retval["error"]["code"] == "invalid_request"


def test_what_celery_brings_along_is_no_task_of_ours(sqlite_url: str) -> None:
    app, process = make_app(Settings(database_url=sqlite_url, broker_url="redis://127.0.0.1:1/0"))
    process.close()
    assert {name.partition(".")[0] for name in app.tasks} == {"orchestrator"}


def test_a_wake_up_takes_no_arguments_and_tells_of_none(
    sqlite_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    app, process = make_app(Settings(database_url=sqlite_url, broker_url="redis://127.0.0.1:1/0"))
    done = traced(app, "orchestrator.tick.events", {"sk-planted": 1})
    process.close()
    assert (done.info, "sk-planted" in caplog.text) == (None, False)


READ_ONLY = StoreOutage(ErrorClass.READ_ONLY, Gone("no writes"))


def test_an_outage_is_logged_as_it_begins_now_and_then_and_as_it_ends(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING, logger="orchestrator")
    now = [0.0]
    outage = Outage(lambda: now[0])
    outage.note_success()
    for now[0] in range(0, 61, 2):
        outage.note_failure(DOWN)
    outage.note_success()
    outage.note_success()
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 4
    assert "31 ticks have failed" in said[2]
    assert said[3] == "the database works again after 60 s, in which 31 ticks failed"


def test_an_outage_that_becomes_another_is_logged_at_once(caplog: pytest.LogCaptureFixture) -> None:
    outage = Outage(lambda: 0.0)
    for error in (DOWN, DOWN, READ_ONLY, READ_ONLY):
        outage.note_failure(error)
    first, second = (record.getMessage() for record in caplog.records)
    assert first.startswith("the database is down or cannot be reached")
    assert second.startswith("the database is read-only (a failover in progress")


def test_a_tick_that_only_reads_ends_no_outage(caplog: pytest.LogCaptureFixture) -> None:
    """A standby answers every question: only a write that succeeds proves that it is over."""
    caplog.set_level(logging.WARNING, logger="orchestrator")
    now, writes = [0.0], [0]

    def prove() -> None:
        writes[0] += 1
        if now[0] < 30:
            raise READ_ONLY

    outage = Outage(lambda: now[0])
    for now[0] in range(41):
        for _ in range(5):  # ticks of this second
            with suppress(StoreOutage):
                outage.note_success(prove)
        if now[0] < 30:
            outage.note_failure(READ_ONLY)
    said = [record.getMessage() for record in caplog.records]
    assert [line.startswith("the database works again after 30 s") for line in said] == [False, True]
    assert writes[0] <= 31, "one attempt a second"


def test_a_job_whose_outcome_cannot_be_handed_over_has_not_failed(sqlite_url: str) -> None:
    settings = Settings(database_url=sqlite_url, broker_url="redis://127.0.0.1:1/0")
    app, process = make_app(settings)
    name = "orchestrator.session.close"
    task: Any = app.tasks[name]
    backend = Backend()
    assert isinstance(task.backend, Results)
    task.backend = Results(SimpleNamespace(backend=backend))
    request = {"id": "job-1", "delivery_info": {"is_eager": False}, "root_id": "job-1"}
    trace: Any = build_tracer(name, task, app=app)
    done = trace("job-1", [], {"session_id": "nobody"}, request)
    process.close()
    assert done.retval["error"]["code"] == "unknown_session"
    assert backend.failures == []
