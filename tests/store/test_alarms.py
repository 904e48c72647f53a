"""An alarm is open once, and waits longer each time that it is raised again after a retry."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from orchestrator.rules.upstream.alarms import AlarmKind, alarm
from orchestrator.store.database import Database
from orchestrator.store.transaction import Transaction
from tests.rules.builders import T0 as NOW

MINUTE = timedelta(minutes=1)
SCOPE = "credential_paused_for_model:up:env:KEY:llama"


@pytest.fixture
def tx(database: Database) -> Iterator[Transaction]:
    """Use one transaction for a whole story."""
    with database.engine.begin() as connection:
        yield Transaction(connection, lambda: NOW)


def _refused(tx: Transaction, after: timedelta = timedelta()) -> bool:
    kind = AlarmKind.MODEL_PAUSED
    return tx.alarms.raise_(alarm(kind, "up", "env:KEY", "llama", f"no, after {after}", NOW + after))


def test_it_is_raised_once(tx: Transaction) -> None:
    assert _refused(tx)
    assert not _refused(tx, MINUTE / 2)
    (standing,) = tx.alarms.listed()
    assert (standing.since, standing.seen_at, standing.refusals) == (NOW, NOW + MINUTE / 2, 1)
    assert standing.retry_at == NOW + MINUTE, "who waits keeps waiting"


def test_a_key_refuses_a_model_until_it_may_be_tried_again(tx: Transaction) -> None:
    _refused(tx)
    assert tx.alarms.keys_refusing("up", "llama") == {"env:KEY"}
    assert tx.alarms.keys_refusing("up", "qwen") == set()
    assert tx.alarms.keys_refusing("other", "llama") == set()
    assert [one.scope for one in tx.alarms.let_retry(NOW + MINUTE)] == [SCOPE]
    assert tx.alarms.let_retry(NOW + MINUTE) == [], "each once"
    assert tx.alarms.keys_refusing("up", "llama") == set()


def test_refused_again_it_waits_longer_and_is_not_reported_again(tx: Transaction) -> None:
    _refused(tx)
    tx.alarms.let_retry(NOW + MINUTE)
    assert not _refused(tx, MINUTE)
    (standing,) = tx.alarms.listed()
    assert (standing.refusals, standing.retry_at) == (2, NOW + 3 * MINUTE)
    assert tx.alarms.keys_refusing("up", "llama") == {"env:KEY"}


def test_it_ends_once(tx: Transaction) -> None:
    _refused(tx)
    assert tx.alarms.end([]) == set()
    assert tx.alarms.end([SCOPE, "another"]) == {SCOPE}
    assert tx.alarms.end([SCOPE]) == set()
    assert tx.alarms.listed() == []


def test_what_nobody_sees_any_more_is_forgotten(tx: Transaction) -> None:
    _refused(tx)
    assert tx.alarms.forget(NOW) == []
    assert [one.scope for one in tx.alarms.forget(NOW + MINUTE)] == [SCOPE]
