"""Counts, the next in a queue, and wake-ups."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from orchestrator.rules.admission.quota import Usage
from orchestrator.rules.billing.meters import Metered
from orchestrator.rules.states import State, Step
from orchestrator.rules.values import Due, Session
from orchestrator.store.database import Database
from orchestrator.store.queries.usage import Standing
from orchestrator.store.transaction import Transaction
from tests.due import due_at
from tests.rules.builders import HOUR, MINUTE, SECOND, T0, TICK, a_model
from tests.store.stage import (
    a_closing,
    a_created,
    a_placement,
    a_queued,
    a_running,
    an_account,
    keep,
    session_id,
    the_session,
)

DEBT = 600


def usage(database: Database, account_id: str = "acme") -> Usage:
    return database.transact(lambda tx: tx.sessions.usage(account_id, T0, {None: DEBT}))


def due_to_be_admitted(database: Database, limit: int = 10) -> list[int]:
    found = database.transact(lambda tx: tx.queues.due_to_be_admitted(T0, limit))
    return [int(name[-5:]) for name, _ in found]


def woken_by(database: Database, work: Callable[[Transaction], None]) -> list[frozenset[Step]]:
    """Return the wake-ups of the commit of `work`."""
    woken: list[frozenset[Step]] = []
    database.on_commit = woken.append
    database.transact(work)
    return woken


def elsewhere(n: int, **changes: object) -> Session:
    """Return a session that waits for a provider's capacity, not for its account's."""
    return a_queued(n, **({"queue_reason": "no_capacity"} | changes))


# usage


def test_an_account_without_sessions_uses_nothing(database: Database) -> None:
    assert usage(database) == Usage(total=0, concurrent=0, queue_ahead=0)


def test_total_counts_what_is_not_deleted_and_concurrent_what_may_cost(database: Database) -> None:
    stopping = a_running(4, state=State.STOPPING, running_since=None)
    keep(
        database,
        a_created(1),
        a_queued(2),
        a_running(3),
        stopping,
        a_running(5, state=State.STARTING, running_since=None),
        a_created(6, state=State.STOPPED),
        a_created(7, state=State.FAILED),
        a_created(8, state=State.STOPPED, deleted_at=T0),
        an_account("other"),
        a_running(9, account_id="other"),
    )
    assert usage(database) == Usage(total=7, concurrent=3, nodes=3, queue_ahead=1)


def test_whoever_waits_elsewhere_is_not_ahead(database: Database) -> None:
    keep(database, a_queued(1), a_queued(2, queue_reason=None), elsewhere(3))
    assert usage(database) == Usage(total=3, concurrent=0, queue_ahead=2)


@pytest.mark.parametrize(
    ("unproven_for", "counted"),
    [
        pytest.param(None, 1, id="a close that was not tried yet"),
        pytest.param(DEBT - 1, 1, id="unproven for less than the limit"),
        pytest.param(DEBT, 1, id="unproven for just the limit"),
        pytest.param(DEBT + 1, 0, id="unproven for longer is the platform's debt"),
    ],
)
def test_cleanup_debt_leaves_the_counts(database: Database, unproven_for: int | None, counted: int) -> None:
    since = None if unproven_for is None else T0 - unproven_for * SECOND
    keep(database, a_running(1, state=State.STOPPING, running_since=None), a_closing(1, unproven_since=since))
    expected = Usage(total=counted, concurrent=counted, nodes=counted, debt=1 - counted)
    assert usage(database) == expected
    with database.reading() as tx:
        in_debt = tx.sessions.in_cleanup_debt("acme", T0, {None: DEBT})
        debt_at = tx.placements.in_debt_at("acme", T0, {None: DEBT, "beta": 1})
    assert in_debt == (frozenset() if counted else {session_id(1)})
    pending = counted and since is not None
    assert debt_at == (since + (DEBT * SECOND) + TICK if pending and since else None)


@pytest.mark.parametrize(
    ("unproven_for", "in_debt", "debt_in"),
    [
        pytest.param(None, False, None, id="its close was not even tried"),
        pytest.param(DEBT - 60, False, 60, id="its close is young"),
        pytest.param(DEBT + 1, True, None, id="both are old"),
    ],
)
def test_a_session_that_moved_is_a_debt_once_each_of_its_closes_is(
    database: Database, unproven_for: int | None, in_debt: bool, debt_in: int | None
) -> None:
    old, since = T0 - HOUR, None if unproven_for is None else T0 - unproven_for * SECOND
    keep(database, a_running(1, state=State.STOPPING, running_since=None), a_closing(1, unproven_since=old))
    keep(database, a_closing(2, session_id=session_id(1), n=2, unproven_since=since, handle="there"))
    assert usage(database).debt == in_debt
    assert usage(database).concurrent == (not in_debt)
    debt_at = database.transact(lambda tx: tx.placements.in_debt_at("acme", T0, {None: DEBT}))
    assert debt_at == (None if debt_in is None else T0 + debt_in * SECOND + TICK)


def test_nodes_are_those_of_what_may_cost(database: Database) -> None:
    keep(database, a_running(1, nodes=4), a_queued(2, nodes=8), a_created(3, nodes=16))
    assert usage(database) == Usage(total=3, concurrent=1, nodes=4, queue_ahead=1)


def test_only_those_that_came_before_are_ahead(database: Database) -> None:
    keep(database, a_queued(1), a_queued(2), a_queued(3))
    second = the_session(database, 2)
    counted = database.transact(lambda tx: tx.sessions.usage("acme", T0, {None: DEBT}, second))
    assert counted.queue_ahead == 1


# the queue


def test_first_come_is_first_in_the_queue(database: Database) -> None:
    same = a_queued(4, queued_at=a_queued(3).queued_at)
    keep(database, same, a_queued(2), a_queued(3), a_running(1))
    queue = database.transact(lambda tx: tx.queues.of_account("acme"))
    assert [session.id for session in queue] == [session_id(n) for n in (2, 3, 4)]
    assert [database.transact(lambda tx, s=s: tx.queues.position(s)) for s in queue] == [1, 2, 3]  # type: ignore[misc]


def test_accounts_take_turns_and_within_one_the_first_comes_first(database: Database) -> None:
    keep(database, an_account("b", last_admitted_at=T0 - HOUR), an_account("c", last_admitted_at=T0 - MINUTE))
    keep(
        database,
        a_queued(1, account_id="c", due=Due(Step.ADMIT, T0)),
        a_queued(2, account_id="b", due=Due(Step.ADMIT, T0)),
        a_queued(3, account_id="b", due=Due(Step.ADMIT, T0 - HOUR)),
        a_queued(4, due=Due(Step.ADMIT, T0)),
        a_queued(5, due=Due(Step.ADMIT, T0 + SECOND)),
    )
    assert due_to_be_admitted(database) == [4, 2, 3, 1]
    assert due_to_be_admitted(database, limit=2) == [4, 2]
    waiting = database.transact(lambda tx: tx.queues.accounts_held_up(T0, 10))
    assert list(waiting) == ["acme"]  # the others are due already


def test_of_more_accounts_than_are_looked_at_at_once_none_is_passed_over_for_ever(database: Database) -> None:
    keep(database, an_account("b", last_admitted_at=T0), a_queued(1, account_id="b"), a_queued(2))
    with database.reading() as tx:
        looks = [tuple(tx.queues.accounts_held_up(T0, 1, lot)) for lot in range(100)]
    assert set(looks) == {("acme",), ("b",)}


def test_the_first_in_the_queue_looks_again_and_those_behind_it_wait(database: Database) -> None:
    keep(database, a_queued(1), a_queued(2), an_account("other"), a_queued(3, account_id="other"))
    woken = woken_by(database, lambda tx: tx.queues.wake_next_queued("acme", T0))
    assert woken == [frozenset({Step.ADMIT})]
    assert due_to_be_admitted(database) == [1]


def test_whoever_waits_elsewhere_holds_up_nobody_behind(database: Database) -> None:
    keep(database, elsewhere(1), elsewhere(2), a_queued(3), a_queued(4))
    database.transact(lambda tx: tx.queues.wake_next_queued("acme", T0))
    assert due_to_be_admitted(database) == [1, 2, 3]


def test_nobody_is_woken_where_nobody_waits_or_all_look_already(database: Database) -> None:
    assert woken_by(database, lambda tx: tx.queues.wake_next_queued("acme", T0)) == []
    keep(database, a_queued(1, due=Due(Step.ADMIT, T0 - SECOND)))
    assert woken_by(database, lambda tx: tx.queues.wake_next_queued("acme", T0)) == []
    assert due_at(the_session(database)) == T0 - SECOND


def test_a_freed_credential_lets_one_session_look_again_round_robin(database: Database) -> None:
    keep(database, an_account("b", last_admitted_at=T0 - HOUR), a_queued(1))
    keep(database, elsewhere(2, account_id="b"), elsewhere(3), elsewhere(4))

    def freed(tx: Transaction) -> None:
        tx.queues.wake_waiting_for_provider("alpha", T0)

    assert woken_by(database, freed) == [frozenset({Step.ADMIT})]
    assert due_to_be_admitted(database) == [3]
    woken_by(database, freed)  # the first is still due: the next credential is for the next account
    assert due_to_be_admitted(database) == [3, 2]
    woken_by(database, freed)
    assert sorted(due_to_be_admitted(database)) == [2, 3, 4]
    assert woken_by(database, freed) == []


def test_a_session_that_waits_for_another_provider_blocks_nobody(database: Database) -> None:
    database.transact(lambda tx: tx.models.put(a_model(id="other", providers=("alphabet", "beta"))))
    keep(database, elsewhere(1, pinned_provider="beta"), elsewhere(2, model_id="other"))
    keep(database, elsewhere(3, pinned_provider="alpha"))
    database.transact(lambda tx: tx.queues.wake_waiting_for_provider("alpha", T0))
    assert due_to_be_admitted(database) == [3]


# what is due, and for people


def test_due_sessions_come_longest_overdue_first(database: Database) -> None:
    keep(database, *(a_running(n, due=Due(Step.STOP, T0 - n * SECOND)) for n in (1, 2, 3)))
    keep(database, a_running(4, due=Due(Step.STOP, T0 + timedelta(microseconds=1))))
    found = database.transact(lambda tx: tx.sessions.due(Step.STOP, T0, 2))
    assert found == [(session_id(3), "acme"), (session_id(2), "acme")]
    assert database.transact(lambda tx: tx.sessions.oldest_due()) == {Step.STOP: T0 - 3 * SECOND}


def test_due_accounts_come_longest_overdue_first(database: Database) -> None:
    for n, name in enumerate(("a", "b", "c")):
        keep(database, an_account(name, due=Due(Step.CHARGE, T0 - n * SECOND)))
    assert database.transact(lambda tx: tx.accounts.due(Step.CHARGE, T0, 2)) == ["c", "b"]
    database.transact(lambda tx: tx.accounts.put_off("c", T0 + HOUR))
    database.transact(lambda tx: tx.accounts.put_off("acme", T0 + HOUR))
    assert database.transact(lambda tx: tx.accounts.due(Step.CHARGE, T0, 9)) == ["b", "a"]
    assert database.transact(lambda tx: tx.accounts.oldest_due()) == {Step.CHARGE: T0 - SECOND}
    assert [account.id for account in database.transact(lambda tx: tx.accounts.listed(limit=2))] == [
        "a",
        "acme",
    ]


def test_active_sessions_and_their_earliest_stop(database: Database) -> None:
    keep(database, a_running(1), a_queued(2), a_running(3, stop_at=T0 + HOUR))
    metered = database.transact(lambda tx: tx.sessions.metered("acme"))
    assert metered == [Metered.of(a_running(1)), Metered.of(a_running(3))]
    late = database.transact(lambda tx: tx.sessions.overdue("acme", T0 + HOUR))
    assert [session.id for session in late] == [session_id(3)]
    standing = database.transact(lambda tx: tx.sessions.standing("acme"))
    assert standing == Standing(earliest_stop=T0 + HOUR, has_queued_sessions=True)
    standing = database.transact(lambda tx: tx.sessions.standing("nobody"))
    assert standing == Standing(earliest_stop=None, has_queued_sessions=False)


def test_lists_show_what_is_asked_for_newest_first(database: Database) -> None:
    keep(database, an_account("other"), *(a_created(n, created_at=T0 + n * SECOND) for n in (1, 2)))
    keep(database, a_running(3, account_id="other"), a_closing(3, unproven_since=T0), a_placement(2))
    keep(database, a_created(4, state=State.STOPPED, deleted_at=T0))
    with database.reading() as tx:
        listed = tx.sessions.listed
        assert [s.id for s in listed(limit=2)] == [session_id(2), session_id(1)]
        assert [s.id for s in listed(account_id="other")] == [session_id(3)]
        assert [s.id for s in listed(states=[State.RUNNING])] == [session_id(3)]
        assert set(tx.sessions.count_by_state()) == {(State.CREATED, None, 2), (State.RUNNING, "alpha", 1)}
        assert tx.sessions.accounts_of([session_id(3), "nobody"]) == {session_id(3): "other"}
