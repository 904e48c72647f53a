"""Connections are checked and opened less often, and none is lost over it."""

import threading
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from sqlalchemy import Connection, text
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

from orchestrator.store.core import lean_driver
from orchestrator.store.core.engine import open_engine
from orchestrator.store.database import Database

_MINE = "SELECT pg_backend_pid()"


def _pid(connection: Connection) -> int:
    return int(connection.execute(text(_MINE)).scalar_one())


def test_only_a_connection_that_was_not_just_used_is_asked(
    shared_postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []

    def answer(_dialect: object, connection: object) -> bool:
        asked.append(connection)
        return True

    monkeypatch.setattr(PGDialect_psycopg, "do_ping", answer)
    engine = open_engine(shared_postgres_url, 1)

    def use_it() -> int:
        with engine.connect() as connection:
            _pid(connection)
        return len(asked)

    assert use_it() == 0  # it is new
    assert use_it() == 1  # when it was last used is not known
    assert use_it() == 1
    monkeypatch.setattr(lean_driver, "_ASK_AFTER", 0.0)
    assert use_it() == 2
    engine.dispose()


def test_a_connection_that_its_server_closed_is_replaced_before_work_begins(shared_postgres_url: str) -> None:
    database = Database(shared_postgres_url, pool_size=1)
    for _ in range(2):
        pid = database.transact(lambda tx: _pid(tx.connection))
    with psycopg.connect(database.url.set(drivername="postgresql").render_as_string(False)) as other:
        assert other.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,)).fetchone() == (True,)
    assert database.transact(lambda tx: _pid(tx.connection)) != pid
    assert database.retries == 0
    database.dispose()


def test_threads_take_turns_with_the_connections_that_are_kept(shared_postgres_url: str) -> None:
    engine = open_engine(shared_postgres_url, 8)
    together = threading.Barrier(16)

    def use(_: int) -> set[int]:
        together.wait()
        return {_one(engine.connect()) for _ in range(20)}

    def _one(connection: Connection) -> int:
        with connection:
            return _pid(connection)

    with ThreadPoolExecutor(16) as threads:
        used = set().union(*threads.map(use, range(16)))
    assert len(used) <= 8
    engine.dispose()


def test_a_thread_gets_a_connection_beyond_those_that_are_kept_if_none_comes_back(
    shared_postgres_url: str,
) -> None:
    engine = open_engine(shared_postgres_url, 8)
    held = [engine.connect() for _ in range(9)]
    assert len({_pid(one) for one in held}) == 9
    for one in held:
        one.close()
    engine.dispose()


def test_results_are_described_by_name_and_type(shared_postgres_url: str) -> None:
    engine = open_engine(shared_postgres_url, 1)
    with engine.connect() as connection:
        found = connection.exec_driver_sql("SELECT 1 AS one, 'x'::text AS \"Zwö\"")
        assert list(found.keys()) == ["one", "Zwö"]
        assert found.cursor is not None
        assert [one[:2] for one in found.cursor.description or ()] == [("one", 23), ("Zwö", 25)]
        assert connection.exec_driver_sql("SET LOCAL lock_timeout = '1s'").returns_rows is False
    engine.dispose()
