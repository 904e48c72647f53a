"""An alarm of the installation opens once, counts its repetitions, and closes once."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from orchestrator.flows.upstream.alarms import close_alarm, close_unseen_alarms, open_alarm
from orchestrator.rules.installation.installation_alarms import InstallationAlarmKind
from orchestrator.store.database import Database
from orchestrator.store.transaction import Transaction
from tests.rules.builders import T0 as NOW

KIND = InstallationAlarmKind.LOCAL_FAULT
MINUTE = timedelta(minutes=1)


@pytest.fixture
def tx(database: Database) -> Iterator[Transaction]:
    """Use one transaction for a whole story."""
    with database.engine.begin() as connection:
        yield Transaction(connection, lambda: NOW)


def _events(tx: Transaction) -> list[str]:
    tx.flush()
    return [row[0] for row in tx.connection.exec_driver_sql("SELECT type FROM outbox ORDER BY seq")]


def test_it_opens_once_and_is_seen_again(tx: Transaction) -> None:
    open_alarm(tx, KIND, "host-1", "no free file descriptor", NOW)
    open_alarm(tx, KIND, "host-1", "still none", NOW + MINUTE)
    (alarm,) = tx.installation_alarms.listed(KIND)
    assert (alarm.since, alarm.seen_at, alarm.times_seen) == (NOW, NOW + MINUTE, 2)
    assert alarm.reason == "still none"
    assert _events(tx) == ["orchestrator.installation.local_fault"]


def test_it_closes_once(tx: Transaction) -> None:
    open_alarm(tx, KIND, "host-1", "no free file descriptor", NOW)
    assert close_alarm(tx, KIND, "host-1", "calls work again")
    assert not close_alarm(tx, KIND, "host-1", "calls work again")
    assert tx.installation_alarms.listed() == []
    assert _events(tx)[-1] == "orchestrator.installation.recovered"


def test_only_what_was_not_seen_lately_is_closed(tx: Transaction) -> None:
    open_alarm(tx, KIND, "host-1", "", NOW)
    open_alarm(tx, KIND, "host-2", "", NOW + 2 * MINUTE)
    open_alarm(tx, InstallationAlarmKind.NETWORK_DOWN, "", "", NOW)
    assert close_unseen_alarms(tx, KIND, NOW + MINUTE, "not seen for a while") == 1
    assert [(one.kind, one.about) for one in tx.installation_alarms.listed()] == [
        ("local_fault", "host-2"),
        ("network_down", ""),
    ]
