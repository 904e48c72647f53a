"""Bring a database to the newest schema while workers of the previous release work: `orchestrator migrate`.

Migrations only add (docs/deploying.md). Each runs in a transaction of its own, so that no table stays locked while a
later one fills another. On PostgreSQL none of them waits for a lock longer than `LOCK_TIMEOUT`: one that does not get
its locks in that time is rolled back and retried. Indexes of existing tables are built concurrently, after everything
else."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any, assert_never

import tenacity
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, Index, inspect, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.schema import CreateIndex

from orchestrator.store.core.pooler import is_pooled
from orchestrator.store.database import Database, StoreUnavailable
from orchestrator.store.tables import metadata

_HERE = Path(__file__).parent / "migrations"
#: Two processes that migrate at once take turns on this PostgreSQL advisory lock.
_LOCK = 7_264_310_552
#: Seconds that a migration, and others behind it, wait for a lock before it is rolled back; how often it is retried.
LOCK_TIMEOUT, ATTEMPTS = 2.0, 60
#: Indexes to be dropped once the indexes that replace them exist.
SUPERSEDED = ("ix_sessions_account_state", "ix_sessions_created", "ix_placements_handle", "ix_sessions_died")
#: Indexes by which workers of the release before claim: dropped once none of these workers is left.
OF_OLD_WORKERS = ("ix_sessions_due", "ix_sessions_due_at_provider")
_LIVES = "SELECT count(*) > 0 FROM workers WHERE seen_at > now() - interval '10 minutes'"
#: SQLSTATEs of a migration that steps back: a lock that it did not get in time, and a deadlock.
_HELD_UP = ("55P03", "40P01")

Say = Callable[[str], None]


class SchemaState(StrEnum):
    """How a database's schema compares with this code's."""

    SAME = "same"
    OLDER = "older"
    """`orchestrator migrate` is needed."""
    NEWER = "newer"
    """A newer release has migrated it. This code can use it: migrations only add."""


def upgrade(database: Database, revision: str = "head", say: Say = lambda _line: None) -> str:
    """Run every missing migration, each in its transaction, then build the missing indexes; return the revision
    reached. `say` gets one line for each.

    Indexes of the release before are dropped too; while its workers may live, only by the next run."""
    with database.engine.connect() as connection:
        before = current(connection)
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception(_stepped_back),
        stop=tenacity.stop_after_attempt(ATTEMPTS),
        wait=tenacity.wait_random(0.5, 1.5),
        before_sleep=lambda _state: say("a table is in use: released the locks, retrying"),
        reraise=True,
    )
    reached = before or ""
    for one in _missing(before, revision):
        reached = retrying(_migrate, database, one, say)
    if revision == "head" and database.engine.dialect.name == "postgresql":
        _make_indexes(database, say)
        _drop_indexes(database, say, changed=before != reached)
    return reached


def current(connection: Connection) -> str | None:
    """Return the revision that the database is at; None if it was never migrated."""
    return MigrationContext.configure(connection).get_current_revision()


def revision_of(database: Database) -> str | None:
    """Return the same of a database that is not open yet."""
    with database.engine.connect() as connection:
        return current(connection)


def newest() -> str:
    """Return the revision that this code needs."""
    head = _scripts().get_current_head()
    assert head is not None
    return head


def revisions() -> list[str]:
    """Return all revisions that this code knows, oldest first."""
    return [script.revision for script in reversed(list(_scripts().walk_revisions()))]


def standing(connection: Connection) -> SchemaState:
    """Return how this database's schema compares with this code's."""
    at = current(connection)
    if at == newest():
        return SchemaState.SAME
    return SchemaState.OLDER if at is None or at in revisions() else SchemaState.NEWER


def fit(connection: Connection) -> str:
    """Return a message about a newer schema, or "" for this code's own. Raises StoreUnavailable if it cannot be
    used."""
    at, wanted = current(connection), newest()
    match standing(connection):
        case SchemaState.SAME:
            return ""
        case SchemaState.OLDER:
            raise StoreUnavailable(
                f"the database is at revision {at}, this release needs {wanted}: run `orchestrator migrate` first;"
                " workers of the previous release keep working meanwhile"
            )
        case SchemaState.NEWER:
            return f"the database is at revision {at}, newer than this release's {wanted}: finish the deploy"
        case unknown:
            assert_never(unknown)


def missing_indexes(connection: Connection) -> list[Index]:
    """Return the indexes of the tables in code that the database lacks, or has never finished building."""
    there = _indexes(connection)
    return [index for table in metadata.sorted_tables for index in table.indexes if not there.get(index.name)]


def unused_indexes(connection: Connection) -> list[str]:
    """Return the indexes that are there for workers of the release before: they make each update dearer."""
    there = _indexes(connection)
    return [name for name in OF_OLD_WORKERS if name in there]


def _scripts() -> ScriptDirectory:
    return ScriptDirectory(str(_HERE))


def _missing(before: str | None, revision: str) -> list[str]:
    """Return the revisions to run, one after another, to get from `before` to `revision`."""
    known = revisions()
    end = known.index(newest() if revision == "head" else revision)
    begin = known.index(before) + 1 if before in known else 0
    return known[begin : end + 1]


def _migrate(database: Database, revision: str, say: Say) -> str:
    """Run the migration of this revision, unless another process has done so meanwhile."""
    with database.engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
            connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT:g}s'"))
            connection.execute(text("SET LOCAL statement_timeout = 0"))
        command.upgrade(_config(connection, say), revision)
        return current(connection) or ""


def _stepped_back(error: BaseException) -> bool:
    return isinstance(error, OperationalError) and getattr(error.orig, "sqlstate", "") in _HELD_UP


def _make_indexes(database: Database, say: Say) -> None:
    """Build indexes concurrently: reads and writes continue. An index that a crash left unfinished is built again."""
    engine = database.engine.execution_options(isolation_level="AUTOCOMMIT")
    with _taking_turns(database.engine), engine.connect() as connection:
        _lift_timeouts(connection)
        missing = missing_indexes(connection)
        for index in missing:
            say(f"creating the index {index.name}; writes continue meanwhile")
            connection.execute(text(f"DROP INDEX CONCURRENTLY IF EXISTS {index.name}"))
            index.dialect_options["postgresql"]["concurrently"] = True
            try:
                connection.execute(CreateIndex(index))
            finally:
                index.dialect_options["postgresql"]["concurrently"] = False
        for name in SUPERSEDED:
            connection.execute(text(f"DROP INDEX CONCURRENTLY IF EXISTS {name}"))


def _drop_indexes(database: Database, say: Say, *, changed: bool) -> None:
    """Drop what only workers of the release before use. `changed`: this run has changed the schema, so the workers
    that live began before it."""
    engine = database.engine.execution_options(isolation_level="AUTOCOMMIT")
    with _taking_turns(database.engine), engine.connect() as connection:
        _lift_timeouts(connection)
        left = unused_indexes(connection)
        if left and changed and connection.execute(text(_LIVES)).scalar_one():
            say(f"workers use {', '.join(left)}: restart them, then run `orchestrator migrate` again")
            return
        for name in left:
            connection.execute(text(f"DROP INDEX CONCURRENTLY IF EXISTS {name}"))


def _lift_timeouts(connection: Connection) -> None:
    """Lift the timeouts for this connection: a concurrent build waits for older transactions and blocks none. Behind a
    pooler keep the server's defaults, since a setting would stay on a connection that others use."""
    if is_pooled(connection):
        return
    connection.execute(text("SET lock_timeout = 0"))
    connection.execute(text("SET statement_timeout = 0"))
    connection.detach()  # without timeouts it must not be used again: it is closed


@contextmanager
def _taking_turns(engine: Engine) -> Iterator[None]:
    """Let one process at a time in, by a transaction's lock. A concurrent build waits for every older statement, so a
    process must not wait inside one: it asks repeatedly. A session's lock would stay behind in a pooler."""
    with engine.connect() as connection:
        while not _took_turn(connection):
            connection.rollback()
            time.sleep(0.2)
        yield


def _took_turn(connection: Connection) -> bool:
    """Try to take the lock, by a statement without parameters: one with parameters keeps its snapshot, and the build
    would wait for it."""
    connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
    taken: bool = connection.execute(text(f"SELECT pg_try_advisory_xact_lock({_LOCK})")).scalar_one()
    return taken


def _indexes(connection: Connection) -> dict[Any, bool]:
    """Return name → whether the index is complete."""
    if connection.dialect.name == "postgresql":
        query = text(
            "SELECT c.relname, i.indisvalid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid"
            " WHERE c.relnamespace = current_schema()::regnamespace"
        )
        return {row[0]: row[1] for row in connection.execute(query)}
    look = inspect(connection)
    return {index["name"]: True for table in look.get_table_names() for index in look.get_indexes(table)}


def _config(connection: Connection, say: Say = lambda _line: None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_HERE))
    config.attributes["connection"] = connection
    config.attributes["say"] = say
    return config
