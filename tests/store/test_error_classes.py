"""Every error that a database can raise has one meaning, and only one that would fail all work is an outage."""

import sqlite3
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import errors
from sqlalchemy import make_url, text
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.exc import DBAPIError

from orchestrator.store.core.error_classes import (
    CONNECT_MESSAGES,
    OUTAGES,
    SQLITE_CODES,
    SQLSTATES,
    ErrorClass,
    error_class,
    of_sqlstate,
)
from orchestrator.store.database import Database, StoreOutage, StoreUnavailable, outage_of
from tests.store.stage import holding

C = ErrorClass
_DIALECT: Any = PGDialect_psycopg()  # type: ignore[no-untyped-call]


def known_to_psycopg() -> list[str]:
    """Return every SQLSTATE for which psycopg has a class."""
    states = (getattr(getattr(errors, name), "sqlstate", None) for name in dir(errors))
    return sorted({state for state in states if isinstance(state, str)})


def raised(error: psycopg.Error) -> DBAPIError:
    """Wrap it as SQLAlchemy wraps psycopg's errors."""
    wrapped = DBAPIError.instance("SELECT 1", {}, error, psycopg.Error, dialect=_DIALECT)
    assert isinstance(wrapped, DBAPIError)
    return wrapped


@pytest.mark.parametrize("state", known_to_psycopg())
def test_every_sqlstate_has_a_meaning(state: str) -> None:
    assert state in SQLSTATES or state[:2] in SQLSTATES
    assert error_class(raised(errors.lookup(state)("no"))) is of_sqlstate(state)


def test_the_table_has_no_row_without_a_sqlstate() -> None:
    known = known_to_psycopg()
    assert len(known) > 200
    assert set(SQLSTATES) <= {*known, *(state[:2] for state in known)}


@pytest.mark.parametrize(
    ("state", "meaning"),
    [
        ("08006", C.DOWN),
        ("08P01", C.DOWN),
        ("22021", C.VALUE),
        ("23505", C.VALUE),
        ("25006", C.READ_ONLY),
        ("25P03", C.TIMED_OUT),
        ("26000", C.DOWN),
        ("28P01", C.NO_RIGHTS),
        ("3D000", C.MISSING),
        ("40001", C.CONTENDED),
        ("40P01", C.CONTENDED),
        ("42501", C.NO_RIGHTS),
        ("42601", C.DEFECT),
        ("42703", C.NOT_MIGRATED),
        ("42P01", C.NOT_MIGRATED),
        ("42P05", C.DOWN),
        ("53100", C.OVERLOADED),
        ("53200", C.OVERLOADED),
        ("53300", C.OVERLOADED),
        ("54000", C.VALUE),
        ("54001", C.VALUE),
        ("55P03", C.CONTENDED),
        ("57014", C.TIMED_OUT),
        ("57P01", C.DOWN),
        ("57P03", C.DOWN),
        ("58030", C.DOWN),
        ("XX000", C.DEFECT),
        ("XX001", C.DAMAGED),
    ],
)
def test_what_a_sqlstate_means(state: str, meaning: ErrorClass) -> None:
    assert of_sqlstate(state) is meaning


def test_a_sqlstate_of_an_unknown_class_is_a_defect() -> None:
    assert of_sqlstate("ZZ123") is C.DEFECT


def test_every_result_code_of_sqlite_has_a_meaning() -> None:
    """Its primary codes are numbered without a gap."""
    assert (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_NOTADB) == (1, 26)
    assert sorted(SQLITE_CODES) == list(range(1, 27))


@pytest.mark.parametrize(
    ("message", "meaning"),
    [
        *(
            (f'connection failed: FATAL:  x {part} "y"', meaning)
            for part, meaning in CONNECT_MESSAGES.items()
        ),
        ('connection to server at "127.0.0.1", port 1 failed: Connection refused', C.DOWN),
        ("connection failed: FATAL:  the database system is starting up", C.DOWN),
        ("connection timeout expired", C.DOWN),
        ('connection failed: FATAL:  database "nowhere" does not exist', C.MISSING),
        ('connection failed: FATAL:  role "x" does not exist', C.NO_RIGHTS),
    ],
)
def test_what_the_message_of_a_failed_connection_means(message: str, meaning: ErrorClass) -> None:
    assert error_class(raised(psycopg.OperationalError(message))) is meaning


def test_a_closed_connection_is_an_outage() -> None:
    assert error_class(raised(psycopg.InterfaceError("the connection is closed"))) is C.DOWN


@pytest.mark.parametrize("state", known_to_psycopg())
def test_what_meets_all_work_alike_is_an_outage_and_nothing_else(state: str) -> None:
    outage = outage_of(raised(errors.lookup(state)("sk-planted")))
    assert (outage is not None) == (of_sqlstate(state) in OUTAGES)
    assert "sk-planted" not in str(outage)
    assert "SELECT" not in str(outage)


def test_an_outage_says_what_it_is() -> None:
    reported = str(outage_of(raised(errors.ReadOnlySqlTransaction("cannot execute UPDATE"))))
    assert reported.startswith("the database is read-only (a failover in progress")
    assert reported.endswith("(ReadOnlySqlTransaction)")


# the real errors of real databases


def meaning_of(database: Database, *statements: str) -> ErrorClass | None:
    """Return the error of the last of these statements, in one transaction."""
    try:
        with database.engine.begin() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)
    except DBAPIError as error:
        return error_class(error)
    return None


@pytest.mark.parametrize(
    ("statements", "meaning"),
    [
        pytest.param(
            ["SET TRANSACTION READ ONLY", "UPDATE accounts SET revision = 1"], C.READ_ONLY, id="25006"
        ),
        pytest.param(["SELECT * FROM not_made_yet"], C.NOT_MIGRATED, id="42P01"),
        pytest.param(["SET LOCAL statement_timeout = 1", "SELECT pg_sleep(10)"], C.TIMED_OUT, id="57014"),
        pytest.param(
            [
                "CREATE TEMP TABLE long (x text PRIMARY KEY) ON COMMIT DROP",
                "INSERT INTO long SELECT string_agg(md5(n::text), '') FROM generate_series(1, 4000) n",
            ],
            C.VALUE,
            id="54000",
        ),
        pytest.param(["SELECT 1/0"], C.VALUE, id="22012"),
        pytest.param(["SELEC 1"], C.DEFECT, id="42601"),
        pytest.param(["SET LOCAL ROLE pg_monitor", "SELECT * FROM accounts"], C.NO_RIGHTS, id="42501"),
        pytest.param(["SELECT pg_terminate_backend(pg_backend_pid())"], C.DOWN, id="57P01"),
    ],
)
def test_what_a_real_postgresql_raises(
    on_postgresql: Database, statements: list[str], meaning: ErrorClass
) -> None:
    assert meaning_of(on_postgresql, *statements) is meaning


@pytest.mark.parametrize(
    ("statements", "meaning"),
    [
        pytest.param(["SELECT * FROM not_made_yet"], C.NOT_MIGRATED, id="no such table"),
        pytest.param(["SELECT not_made_yet FROM accounts"], C.NOT_MIGRATED, id="no such column"),
        pytest.param(["SELECT json_extract('{', '$')"], C.VALUE, id="malformed JSON"),
        pytest.param(["SELEC 1"], C.DEFECT, id="a syntax error"),
        pytest.param(["SELECT zeroblob(2000000000)"], C.VALUE, id="TOOBIG"),
        pytest.param(["INSERT INTO sessions (id) VALUES ('x')"], C.VALUE, id="CONSTRAINT"),
    ],
)
def test_what_a_real_sqlite_raises(on_sqlite: Database, statements: list[str], meaning: ErrorClass) -> None:
    assert meaning_of(on_sqlite, *statements) is meaning


FILL = "INSERT INTO leases (name, holder, fence, until, at) VALUES (hex(randomblob(400000)), '', 0, '', '')"


def test_a_full_disk_is_an_outage_on_sqlite(on_sqlite: Database) -> None:
    with on_sqlite.engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
        connection.rollback()
    assert meaning_of(on_sqlite, FILL) is C.OVERLOADED


@pytest.mark.parametrize("damage", [pytest.param(0, id="NOTADB"), pytest.param(4096, id="CORRUPT")])
def test_a_damaged_file_of_sqlite(sqlite_url: str, damage: int) -> None:
    path = Path(sqlite_url.removeprefix("sqlite:///"))
    content = path.read_bytes()
    path.write_bytes(content[:damage] + b"\xff" * (len(content) - damage))
    database = Database(sqlite_url)
    found = meaning_of(database, "SELECT * FROM accounts")
    database.dispose()
    assert found in {C.MISSING, C.DAMAGED}


def test_a_file_that_only_reads_is_an_outage_on_sqlite(on_sqlite: Database) -> None:
    assert meaning_of(on_sqlite, "PRAGMA query_only = on", "UPDATE accounts SET revision = 1") is C.READ_ONLY


def test_a_locked_file_is_contended_on_sqlite(on_sqlite: Database) -> None:
    with holding(on_sqlite, "UPDATE accounts SET revision = revision"):
        impatient = Database(str(on_sqlite.url))
        with impatient.engine.connect().execution_options(orchestrator_read=True) as connection:
            connection.exec_driver_sql("PRAGMA busy_timeout = 0")
            with pytest.raises(DBAPIError) as locked:
                connection.execute(text("UPDATE accounts SET revision = 1"))
        impatient.dispose()
    assert error_class(locked.value) is C.CONTENDED


def test_a_pool_without_a_free_connection_is_our_own_limit(sqlite_url: str) -> None:
    database = Database(sqlite_url, pool_size=1)
    database.engine.pool._timeout = 0.01  # type: ignore[attr-defined]
    with database.engine.connect(), database.engine.connect(), pytest.raises(StoreOutage) as outage:
        database.transact(lambda tx: tx.now())
    database.dispose()
    assert outage.value.meaning is C.OWN_LIMIT
    assert "its own database connections" in str(outage.value)


def test_a_database_that_only_reads_is_named_by_the_write_check_alone(postgres_url: str) -> None:
    reads = make_url(postgres_url).update_query_dict({"options": "-c default_transaction_read_only=on"})
    database = Database(reads.render_as_string(hide_password=False))
    database.check()
    with pytest.raises(StoreUnavailable, match="is read-only"):
        database.check_writes()
    with pytest.raises(StoreOutage):
        database.prove_writes()
    database.dispose()


def test_a_database_in_order_passes_the_write_check(database: Database) -> None:
    database.check_writes()
    database.check_writes()
