"""Connections die behind a pooler, and the pooler itself: every transaction is done once, or not at all."""

import threading
from dataclasses import replace

from sqlalchemy.exc import DBAPIError

from orchestrator.store.database import Database, StoreOutage
from orchestrator.store.transaction import Transaction
from tests.rules.builders import T0
from tests.store.stage import at_once, stock

KILL = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE pid <> pg_backend_pid() AND datname = current_database()"
)


def earn(tx: Transaction) -> None:
    """Add one to the balance, under the account's lock, and take a lease that names this transaction."""
    tx.accounts.lock("acme")
    account = tx.accounts.get("acme")
    assert account is not None
    tx.accounts.save(account, replace(account, balance=account.balance + 1), T0)


def test_connections_that_are_killed_under_load_lose_nothing_that_was_committed(
    pooled: Database, postgres_url: str
) -> None:
    """A commit without an answer may have happened: the balance is between the confirmed and the tried."""
    stock(pooled)
    before = _balance(pooled)
    over = threading.Event()
    done, tried = [0] * 4, [0] * 4

    def work(n: int) -> None:
        for _ in range(50):
            tried[n] += 1
            try:
                pooled.transact(earn)
                done[n] += 1
            except StoreOutage:
                continue

    def kill() -> None:
        direct = Database(postgres_url)
        while not over.wait(0.2):
            try:
                with direct.engine.begin() as connection:
                    connection.exec_driver_sql(KILL)
            except DBAPIError:
                continue
        direct.dispose()

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        at_once(*[lambda n=n: work(n) for n in range(4)])
    finally:
        over.set()
        killer.join()
    earned = _balance(pooled) - before
    assert sum(done) <= earned <= sum(tried) + pooled.retries
    assert sum(done) > 100


def _balance(database: Database) -> int:
    account = database.transact(lambda tx: tx.accounts.get("acme"))
    assert account is not None
    return int(account.balance)
