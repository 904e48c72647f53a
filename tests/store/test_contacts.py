"""Contacts: the results of each host at each provider; and the queries that compare them."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from orchestrator.rules.states import Step
from orchestrator.rules.upstream.network import Contact
from orchestrator.rules.values import Due
from orchestrator.store.database import Database
from orchestrator.store.transaction import Transaction
from tests.due import due_at
from tests.rules.builders import HOUR, MINUTE, SECOND, T0
from tests.store.stage import a_running, the_session
from tests.store.test_pings import claim, keep_running


@pytest.fixture
def tx(database: Database) -> Iterator[Transaction]:
    """Use one transaction for a whole story."""
    with database.engine.begin() as connection:
        yield Transaction(connection, lambda: T0)


def test_the_first_failure_since_the_last_answer_stays(tx: Transaction) -> None:
    tx.contacts.note_reached("here", "alpha", T0)
    tx.contacts.note_failed("here", "alpha", T0 + SECOND)
    tx.contacts.note_failed("here", "alpha", T0 + MINUTE)
    tx.contacts.note_failed("there", "alpha", T0)
    here = Contact(host="here", provider="alpha", failed_at=T0 + MINUTE)
    assert tx.contacts.all() == [
        replace(here, reached_at=T0, failing_since=T0 + SECOND),
        Contact(host="there", provider="alpha", failing_since=T0, failed_at=T0),
    ]
    tx.contacts.note_reached("here", "alpha", T0 + HOUR)
    [contact, _] = tx.contacts.all()
    assert contact == replace(here, reached_at=T0 + HOUR)


def test_only_what_is_old_in_every_way_is_forgotten(tx: Transaction) -> None:
    tx.contacts.note_reached("old", "alpha", T0)
    tx.contacts.note_reached("fails", "alpha", T0)
    tx.contacts.note_failed("fails", "alpha", T0 + HOUR)
    assert tx.contacts.forget(T0 + MINUTE) == 1
    assert [contact.host for contact in tx.contacts.all()] == ["fails"]


def test_one_running_session_of_a_provider_is_asked_soon(database: Database) -> None:
    for n in (1, 2):
        waiting = a_running(n, due=Due(Step.PING, T0 + n * MINUTE), ping_at=T0 + n * MINUTE)
        keep_running(database, waiting)
    assert database.transact(lambda tx: tx.pings.ask_soon(["alpha", "beta"], T0)) is True
    assert due_at(the_session(database, 1)) == T0
    assert due_at(the_session(database, 2)) == T0 + 2 * MINUTE
    assert database.transact(lambda tx: tx.pings.ask_soon(["beta"], T0)) is False


@pytest.mark.parametrize(
    "unanswered", [{"failures": 1, "failing_since": T0 - MINUTE}, {"busy_since": T0 - MINUTE}]
)
def test_a_claim_without_suspects_takes_those_that_answered(
    database: Database, unanswered: dict[str, Any]
) -> None:
    keep_running(database, a_running(1, **unanswered), a_running(2))
    assert claim(database, suspects=False) == [2]
    assert claim(database, token="next") == [1]
