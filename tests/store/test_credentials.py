"""Which session may take which credential."""

import threading
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from orchestrator.rules.states import PlacementState
from orchestrator.rules.values import Credential
from orchestrator.store.database import Database
from orchestrator.store.queries.credentials import Cleared
from orchestrator.store.transaction import Transaction
from tests.rules.builders import HOUR, MINUTE, SECOND, T0
from tests.store.stage import (
    a_closing,
    a_created,
    a_credential,
    a_placement,
    an_opening,
    at_once,
    keep,
    meanwhile,
    session_id,
    the_credential,
    wait_until_blocked,
)
from tests.waiting import WAIT_LIMIT


def take(database: Database, *, now: datetime = T0, **more: Any) -> str | None:
    taken = database.transact(lambda tx: tx.credentials.take("alpha", now, **more))
    return taken.ref if taken else None


def share(database: Database, lot: int = 0, **more: Any) -> str | None:
    found = database.transact(lambda tx: tx.credentials.share("alpha", T0, lot, **more))
    return found.ref if found else None


def test_the_least_recently_used_is_taken_first(database: Database) -> None:
    keep(
        database,
        a_credential("env:A", last_used_at=T0 - MINUTE),
        a_credential("env:B", last_used_at=T0 - HOUR),
        a_credential("env:C"),
    )
    taken = [take(database, now=T0 + n * SECOND) for n in range(4)]
    assert taken == ["env:C", "env:B", "env:A", "env:C"]
    assert the_credential(database, "env:C").last_used_at == T0 + 3 * SECOND


@pytest.mark.parametrize(
    "credential",
    [
        pytest.param(a_credential(paused_since=T0), id="paused"),
        pytest.param(a_credential(resting_until=T0 + SECOND), id="resting"),
        pytest.param(a_credential(retired=True), id="retired"),
        pytest.param(a_credential(provider="beta"), id="another provider's"),
    ],
)
def test_one_that_may_not_be_used_is_never_taken(database: Database, credential: Credential) -> None:
    keep(database, credential)
    assert take(database) is None
    keep(database, replace(credential, id="shared", exclusive=False))
    assert share(database) is None


def test_one_that_has_rested_is_taken(database: Database) -> None:
    keep(database, a_credential(resting_until=T0))
    assert take(database) == "env:A"


def test_excluded_ones_and_all_but_the_pinned_one_are_passed_over(database: Database) -> None:
    keep(database, a_credential("env:A"), a_credential("env:B"))
    assert take(database, excluding=["env:A"]) == "env:B"
    assert take(database, excluding=["env:A", "env:B"]) is None
    assert take(database, ref="env:A") == "env:A"
    assert take(database, ref="env:C") is None


def test_an_exclusive_one_carries_one_unclosed_placement(database: Database) -> None:
    keep(database, a_credential(), a_created(1), a_closing(1, exclusive=True))
    assert take(database) is None
    database.transact(_end)
    assert take(database) == "env:A"


def test_a_shared_one_carries_many(database: Database) -> None:
    keep(database, a_credential(exclusive=False), a_created(1), a_placement(1))
    assert share(database) == "env:A"
    assert take(database) is None, "it is not exclusive"


def test_shared_ones_are_spread_by_lot(database: Database) -> None:
    keep(database, *(a_credential(f"env:{name}", exclusive=False) for name in "ABC"))
    assert [share(database, lot) for lot in range(4)] == ["env:A", "env:B", "env:C", "env:A"]
    assert share(database, 1, excluding=["env:B"]) == "env:C"
    assert share(database, 1, ref="env:A") == "env:A"
    assert the_credential(database, "env:A").last_used_at is None


def test_a_shared_one_is_neither_locked_nor_waited_for(on_postgresql: Database) -> None:
    keep(on_postgresql, a_credential(exclusive=False))
    with on_postgresql.engine.connect() as other:
        unit = Transaction(other, lambda: T0)
        assert unit.credentials.share("alpha", T0, 0) is not None
        assert on_postgresql.transact(lambda tx: tx.credentials.pause("alpha", "env:A", "by hand", T0))
        assert on_postgresql.transact(lambda tx: tx.credentials.unpause("alpha", "env:A"))
        unit.credentials.pause("alpha", "env:A", "held", T0)
        assert share(on_postgresql) == "env:A"


def test_an_orphan_does_not_occupy_an_exclusive_one(database: Database) -> None:
    keep(database, a_credential(), a_closing(1, session_id=None))
    assert take(database) == "env:A"


def test_two_takers_at_once_get_two_different_ones(on_postgresql: Database) -> None:
    keep(on_postgresql, a_credential("env:A"), a_credential("env:B"))
    both_hold = threading.Barrier(2)

    def take_and_hold() -> str | None:
        def work(tx: Transaction) -> str | None:
            taken = tx.credentials.take("alpha", T0)
            both_hold.wait(WAIT_LIMIT)
            return taken.ref if taken else None

        return on_postgresql.transact(work)

    assert sorted(map(str, at_once(take_and_hold, take_and_hold))) == ["env:A", "env:B"]


def test_the_only_one_is_waited_for_rather_than_refused(on_postgresql: Database) -> None:
    keep(on_postgresql, a_credential())
    with on_postgresql.engine.connect() as other:
        Transaction(other, lambda: T0).credentials.take("alpha", T0)
        with meanwhile(lambda: take(on_postgresql)) as taken:
            wait_until_blocked(on_postgresql)
            other.rollback()
            assert taken.result(WAIT_LIMIT) == "env:A"


def test_takers_at_once_of_one_exclusive_credential_place_one_session(database: Database) -> None:
    keep(database, a_credential(), *(a_created(n) for n in range(1, 5)))

    def place(n: int) -> bool:
        def work(tx: Transaction) -> bool:
            taken = tx.credentials.take("alpha", T0)
            if taken is not None:
                tx.placements.insert(an_opening(n, session_id=session_id(n), exclusive=True))
            return taken is not None

        return database.transact(work)

    assert sorted(at_once(*(lambda n=n: place(n) for n in range(1, 5)))) == [False, False, False, True]


def test_pausing_and_unpausing_say_whether_they_changed_anything(database: Database) -> None:
    keep(database, a_credential())
    answers = database.transact(
        lambda tx: [
            tx.credentials.pause("alpha", "env:A", "401", T0),
            tx.credentials.pause("alpha", "env:A", "403", T0 + SECOND),
        ]
    )
    assert answers == [True, False]
    paused = the_credential(database)
    assert (paused.paused_since, paused.paused_reason) == (T0, "401")
    assert database.transact(lambda tx: tx.credentials.unpause("alpha", "env:A"))
    assert not database.transact(lambda tx: tx.credentials.unpause("alpha", "env:A"))
    assert the_credential(database) == a_credential()


def test_what_is_gone_from_the_configuration_retires_and_may_return(database: Database) -> None:
    a, b = a_credential("env:A"), a_credential("env:B")
    keep(database, a, b)
    _sync(database, a)
    assert the_credential(database, "env:B").retired
    _sync(database, a, b)
    assert the_credential(database, "env:B") == b


def test_another_secret_starts_with_a_clean_slate_and_the_same_one_does_not(database: Database) -> None:
    paused = a_credential(paused_since=T0, paused_reason="401")
    keep(database, paused)
    assert _sync(database, a_credential()) == Cleared(freed=[], ended=[])
    assert the_credential(database) == paused
    assert _sync(database, a_credential(fingerprint="f2")) == Cleared(freed=[paused], ended=[])
    assert the_credential(database) == a_credential(fingerprint="f2")


def test_workers_that_start_at_once_agree_on_the_credentials(database: Database) -> None:
    wanted = [a_credential(f"env:{n}") for n in range(20)]
    at_once(*(lambda: _sync(database, *wanted) for _ in range(4)))
    assert len(database.transact(lambda tx: tx.credentials.listed())) == 20


def test_unended_placements_are_counted_for_each_credential(database: Database) -> None:
    keep(database, a_created(1), a_created(2), a_placement(1), a_placement(2))
    keep(database, a_closing(3, session_id=None), a_closing(4, session_id=None, credential="env:B"))
    used = database.transact(lambda tx: tx.credentials.in_use())
    assert used == {("alpha", "env:A"): 3, ("alpha", "env:B"): 1}


def _sync(database: Database, *wanted: Credential) -> Cleared:
    return database.transact(lambda tx: tx.credentials.sync({c.id: c for c in wanted}))


def _end(tx: Transaction) -> None:
    closing = a_closing(1, exclusive=True)
    closed = replace(closing, state=PlacementState.CLOSED, proof="gone", due=None)
    tx.placements.save(closing, closed)
