"""Migrations only add: workers of the previous release continue, on the migrated database, with statements of their
own.

`frozen/0001.json`: rows of every table as the first release wrote them."""

import json
from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import (
    DateTime,
    Engine,
    Inspector,
    MetaData,
    Table,
    delete,
    insert,
    inspect,
    select,
    text,
    update,
)
from sqlalchemy.exc import OperationalError

from orchestrator.store import migrate
from orchestrator.store.database import Database, StoreUnavailable
from tests.servers import Postgres
from tests.store.drift import drift
from tests.store.stage import wait_until_blocked
from tests.store.test_groups import agree
from tests.store.test_migrations import _definitions

pytestmark = pytest.mark.slow

FROZEN: Mapping[str, list[dict[str, Any]]] = json.loads(
    (Path(__file__).parent / "frozen" / "0001.json").read_text()
)
FIRST = "0001"
#: Append-only from the start; since then by a trigger too.
POSTINGS = frozenset({"ledger"})


@pytest.fixture(params=["sqlite", "postgresql"])
def first_release(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """Return a database of the first release, without rows."""
    if request.param == "sqlite":
        database = Database(f"sqlite:///{tmp_path / 'old.db'}")
        migrate.upgrade(database, FIRST)
        yield database
        database.dispose()
        return
    postgres: Postgres = request.getfixturevalue("postgres")
    with postgres.fresh_database(migrated=False) as url:
        database = Database(url)
        migrate.upgrade(database, FIRST)
        yield database
        database.dispose()


class OldRelease:
    """The tables as they were in that release, and nothing later."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        known = MetaData()
        known.reflect(engine)
        self.tables = [table for table in known.sorted_tables if table.name in FROZEN]

    def write(self, but: Collection[str] = ()) -> None:
        """Write a row of each kind, several where there were."""
        with self._engine.begin() as connection:
            for table in self.tables:
                if table.name in but:
                    continue
                for row in FROZEN[table.name]:
                    connection.execute(insert(table).values(**_typed(table, row)))

    def read(self) -> dict[str, list[tuple[Any, ...]]]:
        """Read all of its rows, in its own order."""
        with self._engine.connect() as connection:
            return {
                table.name: [
                    tuple(row)
                    for row in connection.execute(select(table).order_by(*table.primary_key.columns))
                ]
                for table in self.tables
            }

    def rewrite(self) -> None:
        """Write every column of every row again, as a settlement does. No release ever changed a posting."""
        with self._engine.begin() as connection:
            for table in self._changed():
                for row in FROZEN[table.name]:
                    values = _typed(table, row)
                    same = [column == values[column.name] for column in table.primary_key.columns]
                    assert connection.execute(update(table).where(*same).values(**values)).rowcount == 1

    def forget(self) -> None:
        """Delete every row that may be deleted."""
        with self._engine.begin() as connection:
            for table in reversed(self._changed()):
                connection.execute(delete(table))

    def _changed(self) -> list[Table]:
        return [table for table in self.tables if table.name not in POSTINGS]


def test_what_old_workers_wrote_is_kept_and_they_go_on(first_release: Database) -> None:
    old = OldRelease(first_release.engine)
    assert {table.name for table in old.tables} == set(FROZEN)
    old.write()
    before = old.read()
    assert all(before.values()), "there is a row of every kind"

    assert migrate.upgrade(first_release) == migrate.newest()
    assert old.read() == before
    assert agree(first_release)
    old.rewrite()
    assert old.read() == before
    assert agree(first_release)
    old.forget()
    assert agree(first_release)
    old.write(but=POSTINGS)
    assert old.read() == before
    assert agree(first_release)


def test_no_migration_drops_or_tightens_what_the_release_before_it_uses(first_release: Database) -> None:
    seen = _seen(first_release)
    for earlier, revision in pairwise(migrate.revisions()):
        migrate.upgrade(first_release, revision)
        now = _seen(first_release)
        for name in seen:
            assert _tightened(seen[name], now.get(name)) == [], f"{name}, from {earlier} to {revision}"
        seen = now


def test_the_way_from_the_first_release_leads_to_the_same_schema(
    first_release: Database, request: pytest.FixtureRequest
) -> None:
    reported: list[str] = []
    migrate.upgrade(first_release, say=reported.append)
    assert [line.partition(":")[0] for line in reported if line[:4].isdecimal()] == migrate.revisions()[1:]
    assert drift(first_release) == []
    if (
        first_release.engine.dialect.name == "postgresql"
    ):  # SQLite keeps the text of each statement that altered a table
        fresh = Database(request.getfixturevalue("postgres_url"))
        assert _definitions(first_release) == _definitions(fresh)
        fresh.dispose()


def test_indexes_of_tables_in_use_are_made_while_their_rows_are_written(postgres: Postgres) -> None:
    with postgres.fresh_database(migrated=False) as url:
        database = Database(url)
        migrate.upgrade(database, FIRST)
        OldRelease(database.engine).write()
        migrate._migrate(database, "head", lambda _line: None)
        with database.engine.connect() as connection:
            missing = migrate.missing_indexes(connection)
        assert missing, "they come after everything else"
        with database.engine.begin() as connection:  # a worker writes, and has not committed yet
            connection.execute(text("UPDATE placements SET attempts = attempts"))
            said = _upgrading_beside(url)
            wait_until_blocked(database)
            with database.engine.begin() as other:  # no other transaction waits for it
                other.execute(text("SET LOCAL lock_timeout = '1s'"))
                other.execute(text("UPDATE sessions SET attempts = attempts"))
                other.execute(text("UPDATE outbox SET delivered_at = delivered_at"))
        assert said() == migrate.newest()
        with database.engine.connect() as connection:
            assert migrate.missing_indexes(connection) == []
        database.dispose()


def test_indexes_by_which_old_workers_claim_are_dropped_once_these_are_gone(postgres: Postgres) -> None:
    with postgres.fresh_database(migrated=False) as url:
        database, said = Database(url), list[str]()
        migrate.upgrade(database, "0036")
        with database.engine.begin() as connection:
            columns = "id, kind, host, pid, version, started_at, seen_at, clock_offset_seconds, restarts"
            values = "'w', 'ping', 'h', 1, '0.1.0', now(), now(), 0, 0"
            connection.execute(text(f"INSERT INTO workers ({columns}) VALUES ({values})"))
        migrate.upgrade(database, say=said.append)
        with database.engine.connect() as connection:
            assert migrate.unused_indexes(connection) == ["ix_sessions_due"]
        assert said[-1] == "workers use ix_sessions_due: restart them, then run `orchestrator migrate` again"
        migrate.upgrade(database)
        with database.engine.connect() as connection:
            assert migrate.unused_indexes(connection) == []
        database.dispose()


def test_no_table_stays_locked_while_a_later_migration_waits_for_another(postgres: Postgres) -> None:
    with postgres.fresh_database(migrated=False) as url:
        database = Database(url)
        migrate.upgrade(database, "0036")
        with database.engine.begin() as worker:  # it has posted a charge, and continues to the session
            worker.execute(text("SET LOCAL lock_timeout = '1s'"))
            worker.execute(text("LOCK TABLE ledger IN ROW EXCLUSIVE MODE"))
            said = _upgrading_beside(url)
            wait_until_blocked(database)
            worker.execute(text("UPDATE sessions SET attempts = attempts"))
        assert said() == migrate.newest()
        database.dispose()


def test_an_index_that_a_crash_left_unfinished_is_made_anew(postgres_url: str) -> None:
    database = Database(postgres_url)
    with database.engine.begin() as connection:
        connection.execute(
            text(
                "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'ix_placements_by_handle'::regclass"
            )
        )
        assert [index.name for index in migrate.missing_indexes(connection)] == ["ix_placements_by_handle"]
    migrate.upgrade(database)
    with database.engine.connect() as connection:
        assert migrate.missing_indexes(connection) == []
    database.dispose()


def test_a_migration_steps_back_rather_than_hold_up_those_who_work(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrate, "LOCK_TIMEOUT", 0.1)
    monkeypatch.setattr(migrate, "ATTEMPTS", 2)
    with postgres.fresh_database(migrated=False) as url:
        database = Database(url)
        migrate.upgrade(database, FIRST)
        reported: list[str] = []
        with database.engine.begin() as connection:
            connection.execute(text("LOCK TABLE placements IN ACCESS SHARE MODE"))
            with pytest.raises(OperationalError, match="lock timeout"):
                migrate.upgrade(database, say=reported.append)
        assert "a table is in use: released the locks, retrying" in reported
        assert migrate.upgrade(database) == migrate.newest()
        database.dispose()


def test_a_release_knows_how_it_stands_to_a_database(first_release: Database) -> None:
    with (
        first_release.reading() as tx,
        pytest.raises(StoreUnavailable, match="at revision 0001, this release"),
    ):
        migrate.fit(tx.connection)
    migrate.upgrade(first_release)
    with first_release.reading() as tx:
        assert migrate.fit(tx.connection) == ""
    with first_release.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with first_release.reading() as tx:
        assert "newer than this release's" in migrate.fit(tx.connection)


def _upgrading_beside(url: str) -> Any:
    from tests.store.test_migrations import _said, _upgrading

    process = _upgrading(url)
    return lambda: _said(process)


def _typed(table: Table, row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: datetime.fromisoformat(value) if value and isinstance(table.c[name].type, DateTime) else value
        for name, value in row.items()
    }


class _Seen:
    """What a release may rely on, of one table."""

    def __init__(self, look: Inspector, table: str) -> None:
        self.columns = {column["name"]: column for column in look.get_columns(table)}
        self.key = look.get_pk_constraint(table)["constrained_columns"]
        self.unique = {tuple(c["column_names"]) for c in look.get_unique_constraints(table)} | {
            (
                *index["column_names"],
                *sorted(f"{key} {value}" for key, value in index.get("dialect_options", {}).items()),
            )
            for index in look.get_indexes(table)
            if index["unique"]
        }
        self.references = {tuple(key["constrained_columns"]) for key in look.get_foreign_keys(table)}


def _seen(database: Database) -> dict[str, _Seen]:
    look = inspect(database.engine)
    return {name: _Seen(look, name) for name in look.get_table_names() if name != "alembic_version"}


def _tightened(before: _Seen, after: _Seen | None) -> list[str]:
    if after is None:
        return ["the table is gone"]
    wrong = [f"{name} is gone" for name in before.columns.keys() - after.columns.keys()]
    for name, column in after.columns.items():
        may_be_left_out = column["nullable"] or column["default"] is not None
        old = before.columns.get(name)
        if old is None and not may_be_left_out:
            wrong.append(f"{name} is new, and an old worker's insert does not name it")
        if old is not None and old["nullable"] and not column["nullable"]:
            wrong.append(f"{name} must not be empty any more")
        if old is not None and str(old["type"]) != str(column["type"]):
            wrong.append(f"{name} was {old['type']} and is {column['type']}")
    if before.key != after.key:
        wrong.append(f"the key was {before.key} and is {after.key}")
    wrong += [f"{columns} must be unique now" for columns in after.unique - before.unique]
    wrong += [f"{columns} refer elsewhere now" for columns in after.references - before.references]
    return wrong
