"""Messages that cannot be carried out are kept aside, a bounded number of the newest, with an alarm for each queue."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from orchestrator.flows.operations import parked_messages as flow
from orchestrator.rules.installation.messages import ParkedMessage
from orchestrator.store.database import Database
from orchestrator.store.transaction import Transaction
from tests.rules.builders import T0

SECOND = timedelta(seconds=1)


@pytest.fixture
def tx(database: Database) -> Iterator[Transaction]:
    """Use one transaction for a whole story; each reading of its clock is a second later."""
    times = iter(range(1_000_000))
    with database.engine.begin() as connection:
        yield Transaction(connection, lambda: T0 + next(times) * SECOND)


def message(name: str, queue: str = "jobs") -> ParkedMessage:
    return ParkedMessage(
        id=name,
        parked_at=T0 - SECOND,
        queue=queue,
        reason="the body is not base64",
        task=None,
        task_id=None,
        size=7,
        head="text(7)",
        kept_as="1-1",
    )


def ids(tx: Transaction, limit: int = 100) -> list[str]:
    return [one.id for one in tx.parked.listed(limit)]


def alarms(tx: Transaction) -> list[tuple[str, str]]:
    return [(alarm.kind, alarm.about) for alarm in tx.installation_alarms.listed()]


def test_what_is_parked_is_listed_with_its_time_and_raises_an_alarm(tx: Transaction) -> None:
    assert flow.park(tx, [message("a"), message("b", "ping")]) == 0
    assert flow.park(tx, [message("c")]) == 0
    assert ids(tx)[0] == "c"
    assert ids(tx, 1) == ["c"]
    assert {one.parked_at for one in tx.parked.found({"a", "b", "nothing"})} == {T0}
    assert tx.parked.counts() == {"jobs": 2, "ping": 1}
    assert alarms(tx) == [("messages_parked", "jobs"), ("messages_parked", "ping")]
    [reason] = {one.reason for one in tx.installation_alarms.listed() if one.about == "ping"}
    assert "1 message of ping" in reason
    assert "the body is not base64" in reason


def test_the_same_message_is_parked_once(tx: Transaction) -> None:
    flow.park(tx, [message("a")])
    flow.park(tx, [message("a")])
    assert ids(tx) == ["a"]


def test_an_alarm_ends_with_the_last_message_of_its_queue(tx: Transaction) -> None:
    flow.park(tx, [message("a"), message("b"), message("c", "ping")])
    flow.remove(tx, ["a"])
    assert alarms(tx) == [("messages_parked", "jobs"), ("messages_parked", "ping")]
    flow.remove(tx, ["b"])
    assert alarms(tx) == [("messages_parked", "ping")]
    flow.remove(tx, [])
    assert ids(tx) == ["c"]


def test_the_newest_are_kept_and_older_ones_counted(tx: Transaction, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow, "MOST_KEPT", 3)
    flow.park(tx, [message("rare", "ping")])
    assert flow.park(tx, [message("a"), message("b")]) == 0
    assert flow.park(tx, [message("c"), message("d")]) == 2
    assert set(ids(tx)) >= {"c", "d"}
    assert len(ids(tx)) == 3
    assert alarms(tx) == [("messages_parked", "jobs")], "no message of the other queue is left"
