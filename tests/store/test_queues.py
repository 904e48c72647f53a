"""Which queued sessions go before another may start."""

from collections.abc import Mapping
from typing import Any

import pytest

from orchestrator.rules.values import Attach
from orchestrator.store.database import Database
from tests.store.stage import a_created, a_queued, keep, statements, the_session

ELSEWHERE = {"queue_reason": "no_capacity"}
ATTACHED = {"attach": Attach(endpoint_url="https://x.test/v1", secret_ref="env:X", model="m")}


def is_waited_for(
    database: Database, places: Mapping[str, int | None], *, ahead_of: int | None = None, **newcomer: Any
) -> bool:
    before = None if ahead_of is None else the_session(database, ahead_of)
    session = before or a_created(9, **newcomer)
    found = database.transact(lambda tx: tx.queues.models_waiting(session, places, ahead_of=before))
    assert found <= {(place, "llama") for place in places}
    return bool(found)


def test_who_waits_for_a_provider_is_waited_for_there_and_nowhere_else(database: Database) -> None:
    keep(database, a_queued(1, **ELSEWHERE))
    assert is_waited_for(database, {"alpha": None})
    assert is_waited_for(database, {"beta": None, "alpha": 1})
    assert not is_waited_for(database, {"beta": None})
    assert not is_waited_for(database, {})


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"queue_reason": "quota_concurrent_exceeded"}, id="who waits for a slot"),
        pytest.param({"pinned_provider": "beta"}, id="who wants to be elsewhere"),
        pytest.param({"pinned_credential": "env:B"}, id="who wants a certain key"),
        pytest.param({"nodes": 3}, id="who is too large for it"),
        pytest.param(ATTACHED, id="who brings an endpoint"),
    ],
)
def test_nobody_waits_for_one_who_cannot_take_it(database: Database, other: dict[str, Any]) -> None:
    keep(database, a_queued(1, **(ELSEWHERE | other)))
    assert not is_waited_for(database, {"alpha": 2})


def test_of_two_who_want_one_key_the_second_waits(database: Database) -> None:
    keep(database, a_queued(1, **ELSEWHERE, pinned_credential="env:B"))
    assert is_waited_for(database, {"alpha": None}, pinned_credential="env:B")
    assert not is_waited_for(database, {"alpha": None}, pinned_credential="env:A")


def test_another_account_or_oneself_is_not_waited_for(database: Database) -> None:
    keep(database, a_queued(1, **ELSEWHERE))
    assert not is_waited_for(database, {"alpha": None}, account_id="other")
    assert not is_waited_for(database, {"alpha": None}, ahead_of=1)


def test_who_waits_himself_lets_only_those_go_first_that_came_before(database: Database) -> None:
    keep(database, *(a_queued(n, **ELSEWHERE) for n in (1, 2)))
    assert not is_waited_for(database, {"alpha": None}, ahead_of=1)
    assert is_waited_for(database, {"alpha": None}, ahead_of=2)


@pytest.mark.parametrize("waiting", [1, 50])
def test_it_is_one_statement_however_long_the_queue(database: Database, waiting: int) -> None:
    keep(database, *(a_queued(n, **ELSEWHERE) for n in range(1, waiting + 1)))
    with statements(database) as seen:
        assert not is_waited_for(database, {"beta": None})
    assert len(seen) == 1
