"""A broker that is no Redis delivers messages, not entries: the second guard alone keeps its worker going."""

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import pytest
from celery import Celery
from celery.contrib.testing.worker import start_worker
from kombu import Connection
from redis.exceptions import TimeoutError as RedisTimeout

from orchestrator.rules.installation.unread_messages import reason_in_words
from orchestrator.settings import Settings
from orchestrator.tasks import intake
from orchestrator.tasks.app import Process, make_app
from orchestrator.tasks.intake import GuardedConsumer
from orchestrator.tasks.parking import RefusedMessage
from tests.processes.raw_messages import EMBED, JOBS, coded, valid
from tests.waiting import eventually

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # celery's own

#: Other values of AMQP: its own frames have types, and bodies and headers may hold anything.
BODIES: dict[str, Any] = {
    "body of two": [[], {}],
    "body null": None,
    "body number": 7,
    "body no JSON": b"not JSON",
    "kwargs a list": [[], [1], EMBED],
}
HEADERS: dict[str, Any] = {
    "id a dict": {"id": {}},
    "task a list": {"task": []},
    "task unknown": {"task": "some.other.task"},
    "expires a dict": {"expires": {}},
    "timelimit text": {"timelimit": "text"},
    "compression": {"compression": "application/x-bz2"},
}


@pytest.fixture
def running(sqlite_url: str, tmp_path: Path) -> Iterator[tuple[Celery, Process]]:
    """Run a worker of ours on a broker in this process, which keeps no parked copies."""
    config = tmp_path / "orchestrator.toml"
    config.touch()
    settings = Settings(database_url=sqlite_url, broker_url="redis://127.0.0.1:1/0", config=config)
    app, process = make_app(settings)
    app.conf.update(broker_url="memory://", result_backend="cache+memory://")
    level = logging.getLogger().level  # Celery's helper sets it, and does not restore it
    with start_worker(app, pool="solo", perform_ping_check=False, queues=[JOBS], shutdown_timeout=30):
        yield app, process
    logging.getLogger().setLevel(level)
    process.close()


def put(entry: dict[str, Any]) -> None:
    with Connection("memory://") as connection:
        channel: Any = connection.default_channel
        channel._put(JOBS, entry)


def wrong() -> Iterator[dict[str, Any]]:
    for body in BODIES.values():
        yield valid() | {"body": coded(body)}
    for changed in HEADERS.values():
        message = valid()
        yield message | {"headers": message["headers"] | changed}


@pytest.mark.timeout(120)
def test_what_no_task_can_take_is_parked_and_the_next_job_is_answered(
    running: tuple[Celery, Process],
) -> None:
    app, process = running
    entries = list(wrong())
    for entry in entries:
        put(entry)
    job = app.send_task("orchestrator.session.close", kwargs={"session_id": "unknown"}, queue=JOBS)
    assert job.get(timeout=60)["error"]["code"] == "unknown_session"

    def parked() -> list[Any]:
        with process.services.database.reading() as tx:
            return list(tx.parked.listed(100))

    rows = eventually(lambda: parked() if len(parked()) == len(entries) else [], "the rows")
    assert {row.queue for row in rows} == {JOBS}


class Message:
    """A message that was checked, and its end."""

    acknowledged = False
    delivery_info: Mapping[str, Any] = {"routing_key": JOBS}
    body = b"[[], {}, {}]"

    def __init__(self) -> None:
        self.headers = {"task": "orchestrator.session.close", "id": "t-1"}
        self.became: list[str] = []

    def decode(self) -> Any:
        return [[], {}, {}]

    def requeue(self) -> None:
        self.became.append("requeued")

    def reject_log_error(self, *_: Any, requeue: bool) -> None:
        assert not requeue
        self.became.append("rejected")


class Parks:
    """Remembers reasons."""

    def __init__(self) -> None:
        self.reasons: list[str] = []

    def park(self, refused: RefusedMessage) -> None:
        self.reasons.append(refused.reason)


def handed_over(error: Exception, monkeypatch: pytest.MonkeyPatch) -> tuple[list[str], list[str]]:
    """Return what happened to a message on which Celery failed so, and why it was parked."""
    monkeypatch.setattr(intake, "_REST", 0)
    consumer = object.__new__(GuardedConsumer)
    parks, message = Parks(), Message()
    consumer.parking, consumer.connection_errors = cast(Any, parks), ()

    def fail(_message: Any) -> None:
        raise error

    consumer._hand_over(fail, message)
    return message.became, parks.reasons


@pytest.mark.parametrize("error", [RuntimeError("can't start new thread"), MemoryError()])
def test_a_message_goes_back_where_this_machine_is_at_fault(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert handed_over(error, monkeypatch) == (["requeued"], [])


@pytest.mark.parametrize("error", [KeyError("sk-1"), TypeError("sk-1"), RecursionError("sk-1")])
def test_a_message_on_which_celery_fails_is_parked_without_its_contents(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert handed_over(error, monkeypatch) == (["rejected"], [reason_in_words([type(error).__name__])])


@pytest.mark.parametrize("error", [ConnectionResetError(), RedisTimeout()])
def test_a_connection_that_is_lost_is_no_fault_of_a_message(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(type(error)):
        handed_over(error, monkeypatch)
