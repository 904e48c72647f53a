"""Behind a pooler in transaction mode everything works, and every transaction has its timeouts."""

import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import ProgrammingError

from orchestrator.store import migrate
from orchestrator.store.core.engine import open_engine
from orchestrator.store.core.pooler import TIMEOUTS, is_pooled
from orchestrator.store.database import Database
from orchestrator.store.tables import metadata
from orchestrator.store.transaction import Transaction
from tests.pooler.pgbouncer import PgBouncer
from tests.servers import Postgres
from tests.store.drift import drift
from tests.store.stage import at_once


def test_a_pooler_is_seen_and_every_transaction_has_its_timeouts(pooled: Database) -> None:
    found, through_a_pooler = pooled.timeouts()
    assert through_a_pooler
    assert found == TIMEOUTS


def test_a_direct_connection_is_seen_and_has_the_same_timeouts(postgres_url: str) -> None:
    database = Database(postgres_url)
    found, through_a_pooler = database.timeouts()
    database.dispose()
    assert not through_a_pooler
    assert found == TIMEOUTS


def test_a_transaction_that_only_reads_has_them_too(pooled: Database) -> None:
    for at_one_moment in (False, True):
        with pooled.reading(at_one_moment=at_one_moment) as tx:
            execute = tx.connection.exec_driver_sql
            assert execute("SHOW statement_timeout").scalar_one() == "30s"
            level = execute("SHOW transaction_isolation").scalar_one()
        assert level == ("repeatable read" if at_one_moment else "read committed")


def test_nothing_is_left_in_the_servers_session(pooled: Database) -> None:
    """The next client of that server connection must find it unchanged."""
    for _ in range(3):
        pooled.timeouts()
    with pooled.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        assert connection.exec_driver_sql("SHOW statement_timeout").scalar_one() == "0"
        assert connection.exec_driver_sql("SHOW lock_timeout").scalar_one() == "0"
        prepared = connection.exec_driver_sql("SELECT count(*) FROM pg_prepared_statements").scalar_one()
    assert prepared == 0


def test_no_statement_is_prepared_by_name(pooled: Database) -> None:
    """Prepared on one server connection, it is missing, or another's, on the next."""

    def often(tx: Transaction) -> int:
        for n in range(10):
            found = tx.connection.execute(text("SELECT :n + 1"), {"n": n}).scalar_one()
        many = [{"name": f"lease-{n}"} for n in range(50)]
        columns, values = "name, holder, fence, until, at", ":name, '', 0, now(), now()"
        insert = f"INSERT INTO leases ({columns}) VALUES ({values}) ON CONFLICT DO NOTHING"
        tx.connection.execute(text(insert), many)
        return int(found)

    def work() -> None:
        for _ in range(20):
            assert pooled.transact(often) == 10

    at_once(*[work] * 8)


def test_a_begin_through_the_pooler_costs_one_statement(pooled: Database) -> None:
    """The timeouts come in the statement of the BEGIN, however many transactions the first use needs."""
    seen: list[str] = []
    event.listen(pooled.engine, "before_cursor_execute", lambda _c, _u, statement, *_: seen.append(statement))
    pooled.transact(lambda tx: tx.connection.execute(text("SELECT 1")))
    begins = [statement for statement in seen if "BEGIN" in statement or "SET" in statement]
    assert begins
    assert all(
        one.startswith("BEGIN; SET LOCAL") and one.count("SET LOCAL") == len(TIMEOUTS) for one in begins
    )


def test_a_transaction_that_fails_is_rolled_back(pooled: Database) -> None:
    def work(tx: Transaction) -> None:
        tx.leases.hold("kept", "me", tx.now(), 5)

    pooled.transact(work)
    with pooled.reading() as tx:
        assert tx.leases.last_seen("kept")

    def fails(tx: Transaction) -> None:
        tx.leases.hold("lost", "me", tx.now(), 5)
        raise KeyError

    with pytest.raises(KeyError):
        pooled.transact(fails)
    with pooled.reading() as tx:
        assert tx.leases.last_seen("lost") is None


def test_a_server_that_the_pooler_lost_is_replaced(pooled: Database, postgres_url: str) -> None:
    pooled.timeouts()
    direct = Database(postgres_url)
    others = "pid <> pg_backend_pid() AND datname = current_database()"
    kill = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}"
    with direct.engine.begin() as connection:
        connection.exec_driver_sql(kill)
    direct.dispose()
    pooled.prove_writes()


def test_many_migrate_at_once_through_the_pooler(postgres: Postgres, pooler: PgBouncer) -> None:
    with postgres.fresh_database(migrated=False) as url:
        databases = [Database(pooler.in_front_of(url)) for _ in range(3)]
        reached: list[str] = []
        at_once(
            *[lambda database=database: reached.append(migrate.upgrade(database)) for database in databases]
        )
        assert reached == [migrate.newest()] * 3
        assert drift(databases[0]) == []
        with databases[0].engine.connect() as connection:
            assert migrate.missing_indexes(connection) == []
        for database in databases:
            database.dispose()


def test_a_missing_index_is_made_through_the_pooler_and_no_lock_is_left(pooled: Database) -> None:
    with pooled.engine.begin() as connection:
        name = next(
            index.name for table in metadata.sorted_tables for index in table.indexes if not index.unique
        )
        connection.exec_driver_sql(f"DROP INDEX {name}")
    migrate.upgrade(pooled)
    with pooled.engine.connect() as connection:
        assert migrate.missing_indexes(connection) == []
        held = connection.exec_driver_sql("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")
        assert held.scalar_one() == 0


def test_a_connection_turns_pooled_where_prepared_statements_fail(postgres_url: str) -> None:
    """A pooler that hides itself shows by its errors: the following connections are treated as pooled."""
    engine = open_engine(postgres_url, 2)
    with engine.connect() as connection:
        assert not is_pooled(connection)
        with pytest.raises(ProgrammingError, match="not_there"):
            connection.exec_driver_sql("EXECUTE not_there")
    with engine.connect() as connection:
        assert is_pooled(connection)
        assert connection.exec_driver_sql("SHOW statement_timeout").scalar_one() == "30s"
    engine.dispose()
