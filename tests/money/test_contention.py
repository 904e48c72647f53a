"""The store repeats jobs that lock each other out: they are counted, and the sender sees none of it."""

import sqlite3
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import event, text

from orchestrator.store.transaction import Transaction
from tests.money.stage import Stage
from tests.store.stage import at_once, wait_until_blocked
from tests.waiting import WAIT_LIMIT

BOTH = ("acme", "bob")


@pytest.fixture
def on_postgresql(postgres_url: str) -> Any:
    yield from opened(postgres_url)


@pytest.fixture
def on_sqlite(sqlite_url: str) -> Any:
    yield from opened(sqlite_url)


def opened(url: str) -> Any:
    stage = Stage(url)
    stage.reset()
    for account_id in BOTH:
        stage.open_account(account_id, "small", "5")
    yield stage
    stage.close()


def credit(account_id: str, key: str) -> dict[str, Any]:
    return {"account_id": account_id, "amount": "1", "currency": "USD", "key": key}


def test_a_job_that_deadlocks_has_its_outcome_all_the_same(on_postgresql: Stage) -> None:
    """A report locks its account, then its session; another transaction holds the session and waits for the account."""
    stage, database = on_postgresql, on_postgresql.services.database
    stage.done("session.create", account_id="acme", model_id="llama", session_id="mine")
    stage.settle()
    met = 0

    def the_other_way_round() -> int:
        attempts = 0

        def work(tx: Transaction) -> None:
            nonlocal attempts, met
            attempts += 1
            tx.connection.execute(text("SET LOCAL deadlock_timeout = '20ms'"))
            tx.sessions.lock("mine")
            if attempts == 1:
                wait_until_blocked(database)  # the report holds acme by now, and waits for the session
                met += 1
            tx.accounts.lock("acme")

        database.transact(work)
        return attempts

    def report() -> int:
        for _ in range(int(WAIT_LIMIT * 1000)):  # not before the other has the session
            with database.engine.connect() as connection:
                held = text("SELECT 1 FROM sessions WHERE id = 'mine' FOR UPDATE SKIP LOCKED")
                if connection.execute(held).first() is None:
                    break
        batch = [{"session_id": "mine", "count": 1}]
        outcome = stage.job("session.record_interactions", task_id="report", batch=batch)
        assert outcome == {"ok": True, "result": {"accepted": 1, "rejected": []}}
        return 1

    at_once(the_other_way_round, report)
    assert met == 1
    assert database.retries >= 1
    with database.reading() as tx:
        session = tx.sessions.get("mine")
    assert session is not None
    assert session.interactions == 1


def test_a_serialisation_failure_of_a_job_is_done_again(on_postgresql: Stage) -> None:
    stage, database = on_postgresql, on_postgresql.services.database
    overtaken: list[bool] = []

    def overtake(connection: Any) -> None:
        """Read a snapshot in the first transaction; then change the account in another."""
        if not overtaken:
            overtaken.append(True)
            connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            connection.exec_driver_sql("SELECT 1 FROM accounts").all()
            stage.job("account.credit", task_id="other", **credit("acme", "other"))

    event.listen(database.engine, "begin", overtake)
    outcome = stage.job("account.credit", task_id="mine", **credit("acme", "mine"))
    assert outcome["ok"], outcome
    assert database.retries == 1
    assert stage.balance("acme") == Decimal(7)


def test_a_job_on_a_locked_sqlite_database_is_done_again(on_sqlite: Stage) -> None:
    stage, database = on_sqlite, on_sqlite.services.database
    event.listen(
        database.engine, "checkout", lambda connection, *_: connection.execute("PRAGMA busy_timeout=0")
    )
    writer = sqlite3.connect(str(database.url.database), isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    event.listen(database.engine, "handle_error", lambda _context: writer.rollback())
    outcome = stage.job("account.credit", task_id="mine", **credit("acme", "mine"))
    assert outcome["ok"], outcome
    assert database.retries == 1
    assert stage.balance("acme") == Decimal(6)
    writer.close()
