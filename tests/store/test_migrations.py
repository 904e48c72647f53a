"""Migrations lead to the schema of the code, from every revision, however many begin at once."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import DBAPIError

from orchestrator.store import migrate
from orchestrator.store.database import Database
from orchestrator.store.tables import metadata
from tests.servers import Postgres
from tests.store.drift import drift
from tests.store.stage import wait_until_blocked

pytestmark = [pytest.mark.slow, pytest.mark.pooled]

UPGRADE = """
import sys
from orchestrator.store import migrate
from orchestrator.store.database import Database
print(migrate.upgrade(Database(sys.argv[1])))
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """Return a database without tables."""
    if request.param == "sqlite":
        database = Database(f"sqlite:///{tmp_path / 'empty.db'}")
        yield database
        database.dispose()
        return
    postgres: Postgres = request.getfixturevalue("postgres")
    with postgres.fresh_database(migrated=False) as url:
        database = Database(url)
        yield database
        database.dispose()


def test_an_empty_database_becomes_what_the_code_wants(empty: Database) -> None:
    assert migrate.upgrade(empty) == migrate.newest()
    assert drift(empty) == []


def test_upgrading_again_changes_nothing(empty: Database) -> None:
    migrate.upgrade(empty)
    before = _definitions(empty)

    assert migrate.upgrade(empty) == migrate.newest()
    assert _definitions(empty) == before


def test_checks_and_conditions_of_indexes_are_those_of_the_tables(
    empty: Database, request: pytest.FixtureRequest
) -> None:
    sqlite = empty.engine.dialect.name == "sqlite"
    migrated = Database(request.getfixturevalue("sqlite_url" if sqlite else "postgres_url"))
    metadata.create_all(empty.engine)

    assert _definitions(migrated) == _definitions(empty)
    migrated.dispose()


def test_the_way_back_to_nothing_works(empty: Database) -> None:
    migrate.upgrade(empty)
    with empty.engine.begin() as connection:
        command.downgrade(migrate._config(connection), "base")

    assert inspect(empty.engine).get_table_names() == ["alembic_version"]
    assert migrate.upgrade(empty) == migrate.newest()


def test_a_migration_that_fails_leaves_nothing_behind(empty: Database) -> None:
    with empty.engine.begin() as connection:
        connection.execute(text("CREATE TABLE sessions (foreign_column INTEGER)"))

    with pytest.raises(DBAPIError):
        migrate.upgrade(empty)
    assert inspect(empty.engine).get_table_names() == ["sessions"]


def test_two_processes_upgrade_at_once_on_postgresql(postgres: Postgres) -> None:
    with postgres.fresh_database(migrated=False) as url:
        database = Database(url)
        with database.engine.begin() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": migrate._LOCK})
            both = [_upgrading(url), _upgrading(url)]
            wait_until_blocked(database, backends=2)
        assert [_said(process) for process in both] == [migrate.newest()] * 2
        assert drift(database) == []
        database.dispose()


def test_two_processes_upgrade_at_once_on_sqlite(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'empty.db'}"
    database = Database(url)
    with database.engine.begin():  # both find it locked and wait
        both = [_upgrading(url), _upgrading(url)]
    assert [_said(process) for process in both] == [migrate.newest()] * 2
    assert drift(database) == []
    database.dispose()


def _upgrading(url: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", UPGRADE, url], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def _said(process: "subprocess.Popen[str]") -> str:
    said, complained = process.communicate(timeout=60)
    assert process.returncode == 0, complained
    return said.strip()


def _definitions(database: Database) -> set[tuple[str, ...]]:
    """Return every column, constraint and index in the database's own words, without the migrations' own table."""
    with database.engine.connect() as connection:
        if connection.dialect.name == "sqlite":
            return _in_sqlite(connection)
        return _in_postgresql(connection)


def _in_sqlite(connection: Connection) -> set[tuple[str, ...]]:
    query = text(
        "SELECT tbl_name, sql FROM sqlite_master WHERE sql IS NOT NULL AND tbl_name <> 'alembic_version'"
    )
    return {
        (row.tbl_name, part.strip().rstrip(",)").strip())
        for row in connection.execute(query)
        for line in row.sql.splitlines()
        for part in line.split(", ")  # an added column is on the line of the one before it
    }


def _in_postgresql(connection: Connection) -> set[tuple[str, ...]]:
    constraints = (
        "SELECT conrelid::regclass::text, conname::text, pg_get_constraintdef(oid) FROM pg_constraint"
        " WHERE connamespace = 'public'::regnamespace AND conrelid::regclass::text <> 'alembic_version'"
    )
    indexes = (
        "SELECT tablename::text, indexname::text, indexdef FROM pg_indexes"
        " WHERE schemaname = 'public' AND tablename <> 'alembic_version'"
    )
    columns = (
        "SELECT table_name::text, column_name::text, data_type::text || is_nullable::text"
        " || coalesce(column_default, '') || coalesce(character_maximum_length::text, '')"
        " FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> 'alembic_version'"
    )
    triggers = (
        "SELECT tgrelid::regclass::text, pg_get_triggerdef(oid), pg_get_functiondef(tgfoid) FROM pg_trigger"
        " WHERE NOT tgisinternal"
    )
    return {
        tuple(row)
        for query in (constraints, indexes, columns, triggers)
        for row in connection.execute(text(query))
    }
