"""Changes that are gathered and written together: the same rows as one by one, in their order, behind no other
statement's back."""

from dataclasses import replace
from decimal import Decimal
from functools import partial
from typing import Any

import pytest

from orchestrator.rules.states import Step
from orchestrator.rules.values import Due, Placement, Session
from orchestrator.store.core.gathering import AlreadyThere, ChangedMeanwhile
from orchestrator.store.database import Database
from orchestrator.store.queries.inbox import ListedJob
from orchestrator.store.queries.ledger import Entry
from orchestrator.store.transaction import Transaction
from tests.rules.builders import HOUR, T0
from tests.store.stage import (
    a_placement,
    a_running,
    an_account,
    event_types,
    holding,
    keep,
    run,
    session_id,
    statements,
    the_placement,
    the_session,
)
from tests.store.test_round_trips import LEASE, filled

#: What identifies a row, and what a constraint ties to other rows.
KEPT = ("id", "account_id", "session_id", "model_id", "state", "revision", "running_since", "stop_at", "n")


def others(kind: type[Any]) -> dict[str, Any]:
    """Return another value for every field that may have one."""
    other = filled(kind)
    return {name: getattr(other, name) for name in kind.__slots__ if name not in KEPT}


def entry(n: int) -> Entry:
    books = {"debit": "account:acme", "credit": "revenue"}
    return Entry(
        key=f"k{n}", at=T0, account_id="acme", kind="charge", amount=Decimal(n), currency="USD", **books
    )


def test_every_column_is_written_as_one_by_one(database: Database) -> None:
    sessions, placements = [a_running(n) for n in (1, 2)], [a_placement(n) for n in (1, 2)]
    keep(database, *sessions, *placements, an_account("other"))
    ids = [one.id for one in sessions]

    def change(tx: Transaction) -> list[object]:
        accounts = tx.many_accounts.lock_free(["acme", "other"])
        locked, open_ones = tx.sessions.lock_all(ids), tx.placements.lock_of(ids)
        saved: list[object] = []
        with tx.together():
            for n, account in enumerate(accounts.values()):
                saved.append(
                    tx.accounts.save(account, replace(account, balance=Decimal(n), quota={"a": None}), T0)
                )
            for n, session in enumerate(locked.values()):
                ended = replace(session, **others(Session) | {"name": f"☂ '{n}' \\ \""})
                saved.append(tx.sessions.save(session, ended))
            for n, (placement,) in enumerate(open_ones.values()):
                own = {"handle": f"h{n}", "exclusive": False, "lease": LEASE}
                saved.append(tx.placements.save(placement, replace(placement, **others(Placement) | own)))
        return saved

    saved = database.transact(change)
    assert saved[2:4] == [the_session(database, n) for n in (1, 2)]
    assert saved[4:] == [the_placement(database, n) for n in (1, 2)]
    with database.reading() as tx:
        assert saved[:2] == [tx.accounts.get(one) for one in ("acme", "other")]


def test_a_change_of_a_change_is_one_and_both_are_counted(database: Database) -> None:
    keep(database, a_running(1), a_running(2))

    def change(tx: Transaction) -> None:
        first, second = tx.sessions.lock_all([session_id(1), session_id(2)]).values()
        with tx.together():
            once = tx.sessions.save(first, replace(first, interactions=1))
            tx.sessions.save(once, replace(once, description="twice"))
            tx.sessions.save(second, replace(second, due=Due(Step.STOP, T0)))

    database.transact(change)
    session = the_session(database)
    assert (session.interactions, session.description, session.revision) == (1, "twice", 2)
    assert the_session(database, 2) == replace(a_running(2), due=Due(Step.STOP, T0), revision=1)


def test_no_query_overtakes_what_was_gathered(database: Database) -> None:
    keep(database, a_running(1))

    def change(tx: Transaction) -> int:
        (session,) = tx.sessions.lock_all([session_id(1)]).values()
        with tx.together():
            tx.sessions.save(session, replace(session, interactions=7))
            found = tx.sessions.get(session_id(1))
        assert found is not None
        return found.interactions

    assert database.transact(change) == 7


def test_a_row_that_is_not_locked_is_written_at_once(database: Database) -> None:
    keep(database, a_running(1))
    run(database, "UPDATE sessions SET description = 'by another'")

    def change(tx: Transaction) -> None:
        before = a_running(1)
        with tx.together():
            with statements(database) as seen:
                tx.sessions.save(before, replace(before, interactions=7))
            assert len(seen) == 1

    database.transact(change)
    assert the_session(database) == replace(
        a_running(1), interactions=7, description="by another", revision=1
    )


def test_a_row_that_changed_under_its_lock_undoes_everything(database: Database) -> None:
    keep(database, a_running(1), a_running(2))

    def change(tx: Transaction) -> None:
        first, second = tx.sessions.lock_all([session_id(1), session_id(2)]).values()
        tx.sessions.save(second, replace(second, interactions=1))
        with tx.together():
            tx.sessions.save(first, replace(first, interactions=5))
            tx.sessions.save(second, replace(second, interactions=5))

    with pytest.raises(ChangedMeanwhile):
        database.transact(change)
    assert [the_session(database, n).interactions for n in (1, 2)] == [0, 0]


def test_after_an_error_nothing_more_is_written(database: Database) -> None:
    keep(database, a_running(1))

    def fail(tx: Transaction, session: Session) -> None:
        with tx.together():
            tx.sessions.save(session, replace(session, interactions=7))
            raise ZeroDivisionError

    def change(tx: Transaction) -> None:
        (session,) = tx.sessions.lock_all([session_id(1)]).values()
        with statements(database) as seen:
            with pytest.raises(ZeroDivisionError):
                fail(tx, session)
            assert seen == []

    database.transact(change)


def test_entries_and_events_keep_their_order(database: Database) -> None:
    keep(database, a_running(1))

    def change(tx: Transaction) -> None:
        (session,) = tx.sessions.lock_all([session_id(1)]).values()
        with tx.together():
            for n in range(1, 40):
                tx.ledger.post(entry(n))
                session = tx.sessions.save(session, replace(session, warned_seconds=n))

    database.transact(change)
    with database.reading() as tx:
        assert [one.key for one in tx.ledger.of_account("acme")] == [f"k{n}" for n in range(39, 0, -1)]
        warned = [one.data["seconds_left"] for one in tx.outbox.tail() if one.type.endswith("expiring")]
    assert warned == list(range(1, 40))
    assert event_types(database).count("session.expiring") == 39


@pytest.mark.parametrize("rows", [2, 50])
def test_rows_are_one_statement_however_many_on_postgresql(on_postgresql: Database, rows: int) -> None:
    keep(on_postgresql, *(a_running(n) for n in range(rows)))

    def change(tx: Transaction) -> None:
        locked = tx.sessions.lock_all([session_id(n) for n in range(rows)])
        with statements(on_postgresql) as seen:
            with tx.together():
                for session in locked.values():
                    tx.sessions.save(session, replace(session, warned_seconds=60, stop_at=T0 + HOUR))
                    tx.ledger.post(entry(session.nodes + len(seen) + int(session.id[-5:])))
            tx.flush()
        assert [statement.split()[0] for statement, _ in seen] == ["UPDATE", "INSERT", "INSERT"]

    on_postgresql.transact(change)


def test_accounts_that_others_hold_are_left_out(on_postgresql: Database) -> None:
    keep(on_postgresql, an_account("b"), an_account("c"))
    with holding(on_postgresql, "SELECT 1 FROM accounts WHERE id = 'b' FOR UPDATE"):
        found = on_postgresql.transact(lambda tx: tx.many_accounts.lock_free(["c", "b", "acme"]))
    assert list(found) == ["acme", "c"]


def test_many_accounts_are_read_as_each_is_alone(database: Database) -> None:
    keep(database, an_account("other"), an_account("idle"))
    for n, hours in ((1, 3), (2, 1), (3, 2)):
        keep(database, a_running(n, stop_at=T0 - hours * HOUR, account_id="other" if n == 3 else "acme"))
    keep(database, a_running(4))
    ids = ["acme", "other", "idle"]

    def read(tx: Transaction) -> None:
        many = tx.many_accounts
        assert many.standings(ids) == {one: tx.sessions.standing(one) for one in ids}
        for limit in (1, 5):
            assert many.lock_overdue(ids, T0, limit) == {
                one: tx.sessions.overdue(one, T0, limit) for one in ids
            }
            assert many.metered(ids, limit) == {one: tx.sessions.metered(one, limit) for one in ids}

    database.transact(read)


def a_job(by: str) -> ListedJob:
    return ListedJob(task_id="once", name="job", received_at=T0, author=None, outcome={"by": by})


def test_every_column_is_written_at_the_end_as_at_once(database: Database) -> None:
    keep(database, an_account("other"))
    given = {"name": "☂ '1' \\ \"", "lease": LEASE}
    full = replace(a_running(1), **others(Session) | given)
    placed = replace(a_placement(1), **others(Placement) | {"exclusive": False, "lease": LEASE})

    def write(tx: Transaction) -> None:
        account = tx.accounts.lock("acme")
        assert account is not None
        tx.gather()
        tx.sessions.insert(full)
        tx.placements.insert(placed)
        tx.accounts.save(account, replace(account, balance=Decimal("0.000001")), T0)
        tx.inbox.record(a_job("first"), None)

    database.transact(write)
    assert the_session(database) == full
    assert the_placement(database) == placed
    with database.reading() as tx:
        assert tx.inbox.outcome("once") == {"by": "first"}
        account = tx.accounts.get("acme")
    assert account is not None
    assert (account.balance, account.revision) == (Decimal("0.000001"), 1)


def test_a_row_that_is_there_already_undoes_everything(database: Database) -> None:
    keep(database, a_running(1))

    def change(by: str, tx: Transaction) -> None:
        tx.gather()
        tx.sessions.insert(a_running(2 if by == "first" else 3))
        tx.inbox.record(a_job(by), None)

    database.transact(partial(change, "first"))
    with pytest.raises(AlreadyThere):
        database.transact(partial(change, "second"))
    with database.reading() as tx:
        assert tx.inbox.outcome("once") == {"by": "first"}
        assert tx.sessions.get(session_id(2)) is not None
        assert tx.sessions.get(session_id(3)) is None


def test_the_end_is_one_statement_on_postgresql(on_postgresql: Database) -> None:
    def change(tx: Transaction) -> None:
        account = tx.accounts.lock("acme")
        assert account is not None
        tx.gather()
        with statements(on_postgresql) as seen:
            tx.sessions.insert(a_running(1))
            tx.accounts.save(account, replace(account, balance=Decimal(7)), T0)
            tx.inbox.record(a_job("first"), None)
            tx.flush()
        assert [statement.split()[0] for statement, _ in seen] == ["WITH"]

    keep(on_postgresql)
    on_postgresql.transact(change)
