"""No error of the store repeats a user's text: errors end in logs."""

import traceback
from collections.abc import Callable

import pytest
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from orchestrator.store.database import Database
from orchestrator.store.transaction import Transaction
from tests.store.stage import a_created, an_account

WRITTEN = "what-a-user-wrote"


def the_same_id_twice(tx: Transaction) -> None:
    tx.sessions.insert(a_created(1, id=WRITTEN, description=WRITTEN))
    tx.sessions.insert(a_created(2, id=WRITTEN, description=WRITTEN))


def a_value_that_no_constraint_lets_in(tx: Transaction) -> None:
    tx.connection.execute(text("UPDATE accounts SET next_step = :step"), {"step": WRITTEN})


def a_statement_that_makes_no_sense(tx: Transaction) -> None:
    tx.connection.execute(text("SELECT nonsense FROM accounts WHERE id = :id"), {"id": WRITTEN})


def many_at_once(tx: Transaction) -> None:
    row = text("INSERT INTO leases (name, holder, fence) VALUES (:name, :holder, NULL)")
    tx.connection.execute(row, [{"name": WRITTEN, "holder": WRITTEN}] * 2)


@pytest.mark.parametrize(
    "work",
    [
        the_same_id_twice,
        a_value_that_no_constraint_lets_in,
        a_statement_that_makes_no_sense,
        many_at_once,
    ],
)
def test_a_statement_that_fails_names_no_value(
    database: Database, work: Callable[[Transaction], None]
) -> None:
    with pytest.raises(SQLAlchemyError) as failed:
        database.transact(work)
    logged = "".join(traceback.format_exception(failed.value))
    assert WRITTEN not in logged
    assert "[SQL: " in logged, "the statement is logged"


def test_data_that_does_not_fit_is_not_quoted(on_postgresql: Database) -> None:
    with pytest.raises(SQLAlchemyError) as failed:
        on_postgresql.transact(
            lambda tx: tx.connection.execute(text("SELECT CAST(:it AS integer)"), {"it": WRITTEN})
        )
    logged = "".join(traceback.format_exception(failed.value))
    assert WRITTEN not in logged
    assert "invalid input syntax for type integer" in logged


def test_which_constraint_was_broken_is_still_reported(database: Database) -> None:
    def work(tx: Transaction) -> None:
        account = an_account("twice")
        for _ in range(2):
            tx.accounts.insert(account)

    with pytest.raises(SQLAlchemyError, match=r"pk_accounts|accounts\.id"):
        database.transact(work)
