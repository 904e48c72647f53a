"""The database itself lets entries leave the ledger only for the archive, and adds up what leaves."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from orchestrator.rules.states import State
from orchestrator.rules.values import ArchivedSession
from orchestrator.store.database import Database
from orchestrator.store.queries.ledger import Entry, Line
from orchestrator.store.transaction import Transaction
from tests.rules.builders import T0

Act = Callable[[Transaction], Any]


@pytest.fixture
def charged(database: Database) -> Database:
    """Return a ledger with a credit of 5, and a charge of 2 for the session `s`, of which 1 was written off."""

    def post(tx: Transaction) -> None:
        for key, kind, debit, credit, amount, session_id in (
            ("c", "credit", "granted", "account:acme", 5, None),
            ("charge:s:1", "charge", "account:acme", "revenue", 2, "s"),
            ("charge:s:1:off", "write_off", "written_off", "account:acme", 1, "s"),
        ):
            entry = Entry(
                key=key,
                at=T0,
                account_id="acme",
                session_id=session_id,
                kind=kind,
                debit=debit,
                credit=credit,
                amount=Decimal(amount),
                currency="USD",
            )
            tx.ledger.post(entry)

    database.transact(post)
    return database


def keep(tx: Transaction, record: dict[str, Any] | None) -> None:
    """Keep the archived part of the session."""
    tombstone = ArchivedSession(
        id="s",
        account_id="acme",
        name="one",
        state=State.STOPPED,
        provider="alpha",
        stop_reason="user",
        request_digest="d",
        charged=Decimal(2),
        charges=1,
        currency="USD",
        created_at=T0,
        ended_at=T0,
        archived_at=T0,
        record=record,
    )
    tx.archive.put([tombstone])


def into_the_archive(tx: Transaction) -> None:
    keep(tx, {"session": {}})
    tx.retention.copy_entries(["s"])


def away(tx: Transaction) -> None:
    keep(tx, None)


@pytest.mark.parametrize(("prepare", "kept"), [(into_the_archive, 1), (away, 0)])
def test_what_leaves_is_added_up_by_the_database(charged: Database, prepare: Act, kept: int) -> None:
    def leave(tx: Transaction) -> None:
        prepare(tx)
        tx.retention.take_out(["s"])

    charged.transact(leave)
    with charged.reading() as tx:
        books = tx.archive.books(["acme"])["acme"]
        sums = [
            (one.book, int(one.amount), one.entries, int(one.kept_amount), one.kept_entries) for one in books
        ]
        assert tx.ledger.balance("acme") == 5
    assert sums == [("revenue", -2, 1, -2 * kept, kept), ("written_off", 1, 1, kept, kept)]


def half_copied(tx: Transaction) -> None:
    into_the_archive(tx)
    tx.connection.execute(text("DELETE FROM ledger WHERE key = 'c'"))


def copied_with_another_amount(tx: Transaction) -> None:
    keep(tx, {"session": {}})
    columns = "id, key, at, account_id, session_id, kind, debit, credit, {}, currency, note"
    copy = f"INSERT INTO archived_ledger ({columns.format('amount')}) SELECT {columns.format('amount + 1')} FROM ledger"
    tx.connection.execute(text(copy))
    tx.retention.take_out(["s"])


def without_a_copy(tx: Transaction) -> None:
    keep(tx, {"session": {}})
    tx.retention.take_out(["s"])


def without_a_session(tx: Transaction) -> None:
    tx.retention.take_out(["s"])


def an_opening_of_nothing(tx: Transaction) -> None:
    tx.connection.execute(text("UPDATE ledger SET kind = 'opening' WHERE key = 'c'"))


def changed_in_the_archive(tx: Transaction) -> None:
    into_the_archive(tx)
    tx.connection.execute(text("UPDATE archived_ledger SET amount = 0"))


def deleted_from_the_archive(tx: Transaction) -> None:
    into_the_archive(tx)
    tx.connection.execute(text("DELETE FROM archived_ledger"))


@pytest.mark.parametrize(
    "act",
    [
        half_copied,
        copied_with_another_amount,
        without_a_copy,
        without_a_session,
        an_opening_of_nothing,
        changed_in_the_archive,
        deleted_from_the_archive,
    ],
    ids=lambda act: act.__name__.replace("_", " "),
)
def test_nothing_else_leaves_or_changes(charged: Database, act: Act) -> None:
    with pytest.raises(DBAPIError, match="append-only"):
        charged.transact(act)


def test_an_opening_entry_is_replaced_where_its_sum_is_kept(charged: Database) -> None:
    def opening(id_: int, amount: int) -> Line:
        return Line(
            id=id_,
            key="opening:revenue:acme",
            at=T0,
            account_id="acme",
            kind="opening",
            debit="account:acme",
            credit="revenue",
            amount=Decimal(amount),
            currency="USD",
        )

    def leave(tx: Transaction) -> None:
        into_the_archive(tx)
        tx.retention.take_out(["s"])
        tx.retention.put_opening(None, opening(2, 2))
        tx.retention.put_opening(opening(2, 2), opening(3, 2))

    charged.transact(leave)
    with charged.reading() as tx:
        assert [one.id for one in tx.archive.openings(["acme"])["acme"]] == [3]
        assert tx.ledger.balance("acme") == 3


def test_an_opening_entry_without_a_kept_sum_stays(database: Database) -> None:
    post = text(
        "INSERT INTO ledger (key, at, account_id, kind, debit, credit, amount, currency, note)"
        " VALUES ('o', :at, 'acme', 'opening', 'account:acme', 'revenue', 1, 'USD', '')"
    )
    database.transact(lambda tx: tx.connection.execute(post, {"at": T0}))
    with pytest.raises(DBAPIError, match="append-only"):
        database.transact(lambda tx: tx.connection.execute(text("DELETE FROM ledger")))
