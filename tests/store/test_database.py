"""Transactions repeat after passing errors, fail on others, and give messages that an operator can use."""

import socket
import sqlite3
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import event, make_url, text
from sqlalchemy.exc import IntegrityError

from orchestrator.rules.states import Step
from orchestrator.store.database import ATTEMPTS, Database, StoreOutage, StoreUnavailable, new_token
from orchestrator.store.transaction import Transaction
from tests.rules.builders import T0
from tests.servers import Postgres
from tests.store.stage import a_created, an_account, at_once, holding, keep, the_session
from tests.waiting import WAIT_LIMIT

pytestmark = pytest.mark.pooled


class Attempts:
    """Counts how often a transaction's work was begun; `first` acts at the first time only."""

    def __init__(self, first: Callable[[Transaction], None] = lambda _tx: None) -> None:
        self.count = 0
        self._first = first

    def __call__(self, tx: Transaction) -> None:
        self.count += 1
        if self.count == 1:
            self._first(tx)


def earn(tx: Transaction, account_id: str = "acme") -> None:
    """Add one to an account's balance, read and written."""
    account = tx.accounts.get(account_id)
    assert account is not None
    tx.accounts.save(account, replace(account, balance=account.balance + 1), T0)


def balance(database: Database, account_id: str = "acme") -> int:
    account = database.transact(lambda tx: tx.accounts.get(account_id))
    assert account is not None
    return int(account.balance)


# passing errors are retried


def test_of_two_that_deadlock_both_are_done_in_the_end(on_postgresql: Database) -> None:
    keep(on_postgresql, an_account("other"))
    each_holds_one = threading.Barrier(2)

    def earn_in(first: str, second: str) -> int:
        def meet(tx: Transaction) -> None:
            tx.connection.execute(text("SET LOCAL deadlock_timeout = '20ms'"))

        attempts = Attempts(meet)

        def work(tx: Transaction) -> None:
            attempts(tx)
            tx.accounts.lock(first)
            if attempts.count == 1:
                each_holds_one.wait(WAIT_LIMIT)
            tx.accounts.lock(second)
            earn(tx, first)
            earn(tx, second)

        on_postgresql.transact(work)
        return attempts.count

    causes: list[str] = []
    on_postgresql.on_retry = causes.append
    counts = at_once(lambda: earn_in("acme", "other"), lambda: earn_in("other", "acme"))
    assert (sorted(counts), causes) == ([1, 2], ["deadlock"])
    assert on_postgresql.retries == 1
    assert (balance(on_postgresql), balance(on_postgresql, "other")) == (102, 102)


def test_a_serialisation_failure_is_tried_again(on_postgresql: Database) -> None:
    def be_overtaken(tx: Transaction) -> None:
        tx.connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
        tx.accounts.get("acme")
        on_postgresql.transact(earn)

    attempts = Attempts(be_overtaken)

    def work(tx: Transaction) -> None:
        attempts(tx)
        earn(tx)

    on_postgresql.transact(work)
    assert (attempts.count, on_postgresql.retries, balance(on_postgresql)) == (2, 1, 102)


def test_a_connection_that_only_reads_is_made_anew(database: Database) -> None:
    """It was opened while its file, or its server, accepted no writes: it would never accept one."""
    on_postgresql = database.engine.dialect.name == "postgresql"
    only_reads = "SET default_transaction_read_only = on" if on_postgresql else "PRAGMA query_only = on"
    with database.engine.connect() as connection:
        connection.exec_driver_sql(only_reads)
        connection.commit()
    database.transact(earn)
    assert (database.retries, balance(database)) == (1, 101)


@pytest.mark.parametrize(
    "statement",
    [
        pytest.param("SET TRANSACTION READ ONLY; UPDATE accounts SET revision = 1", id="it only reads"),
        pytest.param("SELECT * FROM not_made_yet", id="a table is not made yet"),
        pytest.param("SELECT not_made_yet FROM accounts", id="a column is not made yet"),
    ],
)
def test_what_would_meet_every_statement_is_an_outage(on_postgresql: Database, statement: str) -> None:
    with pytest.raises(StoreOutage):
        on_postgresql.transact(lambda tx: tx.connection.execute(text(statement)))


def test_a_lock_that_is_not_had_in_time_is_tried_again(on_postgresql: Database) -> None:
    with holding(on_postgresql, "SELECT 1 FROM accounts FOR UPDATE") as other:

        def be_impatient(tx: Transaction) -> None:
            tx.connection.execute(text("SET LOCAL lock_timeout = '10ms'"))

        attempts = Attempts(be_impatient)

        def work(tx: Transaction) -> None:
            attempts(tx)
            if attempts.count == 2:
                other.rollback()
            tx.accounts.lock("acme")

        on_postgresql.transact(work)
    assert (attempts.count, on_postgresql.retries) == (2, 1)


def test_a_connection_that_is_lost_is_made_anew(on_postgresql: Database) -> None:
    def be_killed(tx: Transaction) -> None:
        mine = tx.connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
        on_postgresql.transact(
            lambda killer: killer.connection.execute(text(f"SELECT pg_terminate_backend({mine})"))
        )

    attempts = Attempts(be_killed)

    def work(tx: Transaction) -> None:
        attempts(tx)
        earn(tx)

    on_postgresql.transact(work)
    assert (attempts.count, on_postgresql.retries, balance(on_postgresql)) == (2, 1, 101)


@pytest.fixture
def impatient(on_sqlite: Database) -> Iterator[Database]:
    """Return a database that fails on a locked SQLite file at once, instead of after its 15 seconds."""
    database = Database(str(on_sqlite.url), clock=lambda: T0)
    event.listen(
        database.engine, "connect", lambda connection, _: connection.execute("PRAGMA busy_timeout=0")
    )
    yield database
    database.dispose()


def test_a_locked_sqlite_database_is_tried_again(impatient: Database) -> None:
    writer = sqlite3.connect(str(impatient.url.database), isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    event.listen(impatient.engine, "handle_error", lambda _context: writer.rollback())

    impatient.transact(earn)

    assert impatient.retries == 1
    assert balance(impatient) == 101
    writer.close()


def test_what_stays_locked_is_given_up(impatient: Database) -> None:
    writer = sqlite3.connect(str(impatient.url.database), isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    retried: list[str] = []
    given_up: list[str] = []
    impatient.on_retry, impatient.on_giving_up = retried.append, given_up.append
    with pytest.raises(StoreOutage, match="the database is busy"):
        impatient.transact(earn)
    assert impatient.retries == ATTEMPTS - 1
    assert (retried, given_up) == (["locked"] * (ATTEMPTS - 1), ["locked"])
    writer.close()


def test_a_reader_is_never_kept_waiting_by_a_writer(impatient: Database) -> None:
    writer = sqlite3.connect(str(impatient.url.database), isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    with impatient.reading() as tx:
        assert tx.accounts.get("acme") == an_account()
    writer.close()


def test_no_update_is_lost_among_many_writers(database: Database) -> None:
    def earn_locked(tx: Transaction) -> None:
        tx.accounts.lock("acme")
        earn(tx)

    def earn_often() -> None:
        for _ in range(20):
            database.transact(earn_locked)

    at_once(earn_often, earn_often, earn_often, earn_often)
    assert balance(database) == 180


def test_who_loses_a_race_for_a_name_looks_again_and_is_reported_properly(database: Database) -> None:
    def create(n: int) -> bool:
        def work(tx: Transaction) -> bool:
            if tx.sessions.by_name("acme", "one") is not None:
                return False
            tx.sessions.insert(a_created(n, name="one"))
            return True

        return database.transact(work)

    created = at_once(*(lambda n=n: create(n) for n in range(1, 4)))
    assert sorted(created) == [False, False, True]


# other errors are not


@pytest.mark.parametrize(
    ("sql", "error"),
    [
        pytest.param("INSERT INTO sessions (id) VALUES ('x')", IntegrityError, id="a row without its values"),
        pytest.param("UPDATE accounts SET next_step = 'nonsense'", IntegrityError, id="an unknown value"),
        pytest.param("SELECT nonsense FROM accounts", StoreOutage, id="nonsense"),
    ],
)
def test_an_error_that_stays_is_not_tried_again(database: Database, sql: str, error: type[Exception]) -> None:
    attempts = Attempts()

    def work(tx: Transaction) -> None:
        attempts(tx)
        tx.connection.execute(text(sql))

    with pytest.raises(error):
        database.transact(work)
    assert (attempts.count, database.retries) == (1, 0)


def test_an_error_of_the_work_itself_is_not_tried_again(database: Database) -> None:
    attempts = Attempts(lambda _tx: [].pop())
    with pytest.raises(IndexError):
        database.transact(attempts)
    assert attempts.count == 1


# wake-ups


def test_wakeups_come_once_after_the_commit_with_the_steps_due(database: Database) -> None:
    seen: list[tuple[frozenset[Step], str]] = []
    database.on_commit = lambda steps: seen.append((steps, the_session(database).name))

    def work(tx: Transaction) -> None:
        tx.sessions.insert(a_created(1))
        tx.sessions.wake(Step.STOP)
        tx.placements.wake(Step.CLOSE, Step.OPEN)

    database.transact(work)
    assert seen == [(frozenset({Step.STOP, Step.CLOSE, Step.OPEN}), "name-1")]


def test_no_wakeup_comes_where_nothing_became_due(database: Database) -> None:
    database.on_commit = lambda _steps: pytest.fail("nothing is due")
    keep(database, a_created(1))


def test_an_attempt_that_was_undone_leaves_no_wakeup(on_postgresql: Database) -> None:
    woken: list[frozenset[Step]] = []

    def wake_and_be_overtaken(tx: Transaction) -> None:
        tx.connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
        tx.accounts.get("acme")
        tx.sessions.wake(Step.STOP)
        on_postgresql.transact(earn)

    attempts = Attempts(wake_and_be_overtaken)

    def work(tx: Transaction) -> None:
        attempts(tx)
        earn(tx)
        tx.sessions.wake(Step.CLOSE)

    on_postgresql.on_commit = woken.append
    on_postgresql.transact(work)
    assert woken == [frozenset({Step.CLOSE})]


# error messages for people


def why(url: str) -> str:
    database = Database(url)
    try:
        with pytest.raises(StoreUnavailable) as reported:
            database.check()
    finally:
        database.dispose()
    return str(reported.value)


def test_a_database_in_order_passes_the_check(database: Database) -> None:
    database.check()


def test_a_database_without_tables_names_the_remedy(postgres: Postgres, tmp_path: Path) -> None:
    with postgres.fresh_database(migrated=False) as url:
        assert "orchestrator migrate" in why(url)
    assert "orchestrator migrate" in why(f"sqlite:///{tmp_path / 'new.db'}")


def test_a_server_that_does_not_answer_is_named_without_its_password() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        reported = why(f"postgresql+psycopg://me:hunter2@127.0.0.1:{port}/db?password=hunter3")
    assert f"127.0.0.1:{port}/db cannot be used" in reported
    assert "refused" in reported
    assert "ORCHESTRATOR_DATABASE_URL" in reported
    assert "hunter" not in reported


def test_a_password_that_is_wrong_is_not_shown(postgres_url: str) -> None:
    url = make_url(postgres_url).set(username="nobody", password="hunter2")
    reported = why(url.render_as_string(hide_password=False))
    assert "nobody" in reported
    assert "hunter2" not in reported


def test_a_file_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    reported = why(f"sqlite:///{tmp_path / 'nowhere' / 'x.db'}")
    assert "does not exist" in reported
    assert "nowhere/x.db" in reported


def test_no_two_tokens_are_alike() -> None:
    assert len({new_token() for _ in range(1000)}) == 1000


# the file of SQLite


def test_a_new_file_is_its_owners_alone_with_its_journals(tmp_path: Path) -> None:
    path = tmp_path / "new.db"
    database = Database(f"sqlite:///{path}")
    with database.engine.begin() as connection:
        connection.execute(text("CREATE TABLE t (n INTEGER)"))
        assert {one.name: one.stat().st_mode & 0o777 for one in tmp_path.iterdir()} == {
            "new.db": 0o600,
            "new.db-wal": 0o600,
            "new.db-shm": 0o600,
        }
    database.dispose()


def test_a_file_that_exists_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    path.touch(0o640)
    path.chmod(0o640)
    database = Database(f"sqlite:///{path}")
    with database.engine.begin() as connection:
        connection.execute(text("CREATE TABLE t (n INTEGER)"))
    database.dispose()
    assert path.stat().st_mode & 0o777 == 0o640
