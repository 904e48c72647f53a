"""The list of jobs, the newest first."""

from datetime import UTC, datetime, timedelta
from functools import partial

from orchestrator.store.database import Database
from orchestrator.store.transaction import Transaction
from tests.store.stage import statements

T0 = datetime(2026, 1, 1, tzinfo=UTC)


def take(task_id: str, at: datetime, tx: Transaction) -> bool:
    return tx.inbox.take(task_id, "orchestrator.noop", at, None, "anna")


def test_the_newest_jobs_are_read_by_their_index(on_sqlite: Database) -> None:
    for n in range(5):
        at = T0 + timedelta(minutes=n)
        on_sqlite.transact(partial(take, f"job-{n}", at))
    with on_sqlite.reading() as tx, statements(on_sqlite) as seen:
        assert [one.task_id for one in tx.inbox.newest(2)] == ["job-4", "job-3"]
        before = tx.inbox.newest(9, T0 + timedelta(minutes=2))
    assert [(one.task_id, one.author, one.outcome) for one in before] == [
        ("job-1", "anna", None),
        ("job-0", "anna", None),
    ]
    with on_sqlite.engine.connect() as connection:
        for statement, parameters in seen:
            plan = [
                row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            ]
            assert all("ix_inbox_received" in line for line in plan), plan
