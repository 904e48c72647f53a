"""The one door: every change is legal, minimal, counted, and has its event in the same transaction."""

from dataclasses import replace
from decimal import Decimal
from itertools import product
from typing import Any

import pytest
from sqlalchemy import text

from orchestrator.rules.states import (
    PLACEMENT_TRANSITIONS,
    SESSION_TRANSITIONS,
    IllegalTransition,
    PlacementState,
    State,
    Step,
)
from orchestrator.rules.values import Due, Placement, Session
from orchestrator.store.database import Database
from orchestrator.store.transaction import Transaction
from tests.due import due_at
from tests.rules.builders import HOUR, T0
from tests.store.stage import (
    a_created,
    a_placement,
    a_running,
    an_account,
    event_types,
    keep,
    run,
    session_id,
    statements,
    the_placement,
    the_session,
)


def _session_in(state: State) -> Session:
    return a_running(1, state=state, running_since=T0 if state is State.RUNNING else None)


def _placement_in(state: PlacementState) -> Placement:
    return a_placement(1, state=state, proof="said so", due=Due(Step.CLOSE, T0))


def test_only_the_difference_is_written(database: Database) -> None:
    before = a_running(1)
    keep(database, before)
    run(database, "UPDATE sessions SET description = 'written by another'")

    saved = database.transact(lambda tx: tx.sessions.save(before, replace(before, interactions=5)))

    assert saved == replace(before, interactions=5, revision=1)
    assert the_session(database) == replace(saved, description="written by another")


def test_saving_what_did_not_change_writes_nothing(database: Database) -> None:
    session, placement, account = a_running(1), a_placement(1), an_account()
    keep(database, session, placement)

    def save(tx: Transaction) -> None:
        with statements(database) as seen:
            assert tx.sessions.save(session, session) == session
            assert tx.placements.save(placement, placement) == placement
            assert tx.accounts.save(account, account, T0) == account
        assert seen == []

    database.transact(save)


def test_each_change_raises_the_revision(database: Database) -> None:
    session, placement, account = a_running(1), a_placement(1), an_account()
    keep(database, session, placement)

    def save(tx: Transaction) -> None:
        once = tx.sessions.save(session, replace(session, interactions=1))
        tx.sessions.save(once, replace(once, interactions=2))
        tx.placements.save(placement, replace(placement, last_answer="hm"))
        tx.accounts.save(account, replace(account, balance=Decimal(7)), T0)

    database.transact(save)
    assert the_session(database).revision == 2
    assert the_placement(database).revision == 1
    found = database.transact(lambda tx: tx.accounts.lock("acme"))
    assert found == replace(account, balance=Decimal(7), revision=1)


@pytest.mark.parametrize(
    ("current", "to"), [pair for pair in product(State, State) if pair[0] is not pair[1]]
)
def test_a_session_changes_only_as_the_table_allows(on_sqlite: Database, current: State, to: State) -> None:
    before = _session_in(current)
    after = replace(before, state=to, running_since=T0 if to is State.RUNNING else None)
    keep(on_sqlite, before)
    if to in SESSION_TRANSITIONS[current]:
        on_sqlite.transact(lambda tx: tx.sessions.save(before, after))
        assert the_session(on_sqlite).state is to
        return
    with pytest.raises(IllegalTransition):
        on_sqlite.transact(lambda tx: tx.sessions.save(before, after))
    assert the_session(on_sqlite) == before


@pytest.mark.parametrize(
    ("current", "to"), [pair for pair in product(PlacementState, PlacementState) if pair[0] is not pair[1]]
)
def test_a_placement_changes_only_as_the_table_allows(
    on_sqlite: Database, current: PlacementState, to: PlacementState
) -> None:
    before = _placement_in(current)
    keep(on_sqlite, a_created(1), before)
    if to in PLACEMENT_TRANSITIONS[current]:
        on_sqlite.transact(lambda tx: tx.placements.save(before, replace(before, state=to)))
        assert the_placement(on_sqlite).state is to
        return
    with pytest.raises(IllegalTransition):
        on_sqlite.transact(lambda tx: tx.placements.save(before, replace(before, state=to)))
    assert the_placement(on_sqlite) == before


def test_a_change_writes_its_events_with_it(database: Database) -> None:
    before = a_running(1)
    keep(database, before)
    stopping = replace(before, state=State.STOPPING, running_since=None)
    database.transact(lambda tx: tx.sessions.save(before, stopping))

    assert event_types(database) == ["session.created", "session.running", "session.stopping"]
    last = database.transact(lambda tx: tx.outbox.tail())[-1]
    assert last.subject == session_id(1)
    assert last.time == T0
    assert last.data["previous_state"] == "running"


def test_a_transaction_that_fails_leaves_neither_rows_nor_events_nor_wakeups(database: Database) -> None:
    woken: list[frozenset[Step]] = []
    database.on_commit = woken.append

    def fail(tx: Transaction) -> None:
        tx.sessions.insert(a_running(1))
        tx.sessions.wake(Step.PING)
        tx.flush()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        database.transact(fail)
    assert database.transact(lambda tx: tx.sessions.get(session_id(1))) is None
    assert event_types(database) == []
    assert woken == []


def test_a_failed_step_is_put_off_and_only_while_it_waits(database: Database) -> None:
    def put_off(tx: Transaction) -> None:
        for n in (1, 2):
            tx.sessions.note_attempt(session_id(n), T0 + HOUR)

    keep(database, a_running(1), a_created(2))
    database.transact(put_off)

    assert (due_at(the_session(database)), the_session(database).attempts) == (T0 + HOUR, 1)
    assert the_session(database, 2) == a_created(2)


def test_reading_keeps_nothing(database: Database) -> None:
    with database.reading() as tx:
        tx.connection.execute(text("UPDATE accounts SET plan = 'contract'"))
    found: Any = database.transact(lambda tx: tx.accounts.get("acme"))
    assert found.plan == "payg"
