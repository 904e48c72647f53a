"""Parking keeps a message aside when the database, the broker, or the sender's result store is down."""

import logging
import threading
from collections.abc import Iterator
from typing import Any

import fakeredis
import pytest
from redis import ConnectionError as Gone
from sqlalchemy.exc import OperationalError

from orchestrator.flows.operations.parked_messages import MOST_KEPT
from orchestrator.store.database import Database
from orchestrator.tasks import parking
from orchestrator.tasks.parked_copies import LARGEST_KEPT, STREAM, ParkedCopies
from orchestrator.tasks.parking import Parking, RefusedMessage
from tests.waiting import eventually

SECRET = "sk-planted"


class Door:
    """A database that is down while it is shut."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.open = threading.Event()
        self.tried = 0

    def __call__(self) -> Database:
        self.tried += 1
        if not self.open.is_set():
            raise OperationalError("INSERT", {}, Exception("no"))
        return self._database

    def parked(self) -> list[Any]:
        with self._database.reading() as tx:
            return list(tx.parked.listed(MOST_KEPT + 10))


@pytest.fixture
def door(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Door]:
    monkeypatch.setattr(parking, "_PAUSE", 0.01)
    database = Database(sqlite_url)
    yield Door(database)
    database.dispose()


def message(**changes: Any) -> RefusedMessage:
    shown = {"kwargs": {SECRET: SECRET}}
    return RefusedMessage(
        **{"queue": "jobs", "reason": "why", "raw": SECRET.encode(), "shown": shown, **changes}
    )


def no_answer(task_id: str, outcome: dict[str, Any]) -> None:
    raise AssertionError


def test_it_waits_for_a_database_that_is_down(door: Door) -> None:
    parks = Parking(door, None, no_answer)
    parks.park(message(task="a", task_id={}))
    eventually(lambda: door.tried > 2, "tries")
    door.open.set()
    [row] = eventually(door.parked, "the row")
    parks.close()
    assert (row.queue, row.task, row.task_id, row.size, row.kept_as) == ("jobs", "a", None, len(SECRET), None)
    assert SECRET not in str(row)


def test_what_waits_is_bounded_and_the_newest_stay(door: Door) -> None:
    parks = Parking(door, None, no_answer)
    for n in range(MOST_KEPT + 50):
        parks.park(message(task=f"task-{n}"))
    eventually(lambda: door.tried > 2, "tries")
    door.open.set()
    eventually(lambda: len(door.parked()) == MOST_KEPT, "the rows")
    parks.close()
    assert f"task-{MOST_KEPT + 49}" in {row.task for row in door.parked()}


def test_the_message_itself_stays_in_the_broker(door: Door) -> None:
    door.open.set()
    broker = fakeredis.FakeRedis()
    parks = Parking(door, ParkedCopies(broker), no_answer)
    parks.park(message(task="small"))
    parks.park(message(task="large", raw=b"x" * (LARGEST_KEPT + 1)))
    parks.park(message(task="unlike", sendable=False))
    eventually(lambda: len(door.parked()) == 3, "the rows")
    kept = {row.task: row.kept_as is not None for row in door.parked()}
    assert kept == {"small": True, "large": False, "unlike": False}
    entries: Any = broker.xrange(STREAM)
    [(_, fields)] = entries
    assert fields == {b"raw": SECRET.encode()}


def test_a_broker_that_keeps_nothing_is_no_reason_to_lose_it(door: Door) -> None:
    class Full:
        def keep(self, raw: bytes) -> str:
            raise Gone("OOM")

    door.open.set()
    parks = Parking(door, Full(), no_answer)  # type: ignore[arg-type]
    parks.park(message())
    assert [row.kept_as for row in eventually(door.parked, "the row")] == [None]


def test_a_sender_that_can_be_answered_is_reported_why(door: Door, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    answers: list[tuple[str, str]] = []

    def answer(task_id: str, outcome: dict[str, Any]) -> None:
        answers.append((task_id, outcome["error"]["code"]))
        if task_id == "gone":
            raise Gone(SECRET)

    door.open.set()
    parks = Parking(door, None, answer)
    ids: list[Any] = [None, {}, "", "a\nb", "x" * 3000, "gone", "x" * 255]
    for task_id in ids:
        parks.park(message(task_id=task_id))
    eventually(lambda: len(answers) == 2, "the answers")
    assert answers == [("gone", "invalid_request"), ("x" * 255, "invalid_request")]
    assert "cannot answer the sender" in caplog.text
    assert SECRET not in caplog.text


def test_a_sender_whose_job_is_declined_is_answered_and_nothing_is_kept(door: Door) -> None:
    answers: dict[str, dict[str, Any]] = {}
    broker = fakeredis.FakeRedis()
    parks = Parking(door, ParkedCopies(broker), answers.__setitem__)
    parks.decline(message(task_id="chained", reason="chain is not supported"))
    eventually(lambda: answers, "the answer, though the database is down")
    assert answers["chained"]["error"] == {
        "code": "invalid_request",
        "message": "the message cannot be carried out: chain is not supported",
        "details": {"faults": []},
    }
    assert (door.tried, door.parked(), broker.xlen(STREAM)) == (0, [], 0)
