"""The meaning of each database error for the work that met it, as one table of data for each database.

An outage fails all work alike, and ends by itself or by an operator's action. The same work succeeds later, so it
waits. Any other error is about one row or one statement, and occurs again with it."""

import sqlite3
from collections.abc import Mapping
from enum import StrEnum

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout


class ErrorClass(StrEnum):
    """What an error means for the caller."""

    DOWN = "down"
    READ_ONLY = "read_only"
    OVERLOADED = "overloaded"
    NOT_MIGRATED = "not_migrated"
    NO_RIGHTS = "no_rights"
    MISSING = "missing"
    """No database has this name or is at this path; a server, if there is one, works."""
    CONTENDED = "contended"
    """Locks of, or conflicts with, other transactions; a retry usually succeeds."""
    OWN_LIMIT = "own_limit"
    """This process has too few connections. The database works."""
    TIMED_OUT = "timed_out"
    """One statement, or one transaction, took longer than it may."""
    VALUE = "value"
    """One value or row does not fit; the same statement fails again."""
    DAMAGED = "damaged"
    """One page or index of the database is damaged."""
    DEFECT = "defect"
    """The statement is wrong, or wrong at this moment."""


#: Outages, which fail all work alike, as logs and `doctor` name them.
OUTAGES: Mapping[ErrorClass, str] = {
    ErrorClass.DOWN: "the database is down or cannot be reached",
    ErrorClass.READ_ONLY: "the database is read-only (a failover in progress, or the URL names a standby; of"
    " SQLite: its file cannot be written)",
    ErrorClass.OVERLOADED: "the database has no room left (connections, disk or memory)",
    ErrorClass.NOT_MIGRATED: "the database lacks a table or a column: run `orchestrator migrate`",
    ErrorClass.NO_RIGHTS: "the database refuses this user: check its password and its grants",
    ErrorClass.MISSING: "there is no database of this name, or the path names no database file that can be opened",
    ErrorClass.CONTENDED: "the database is busy: locks or conflicts outlasted every retry",
    ErrorClass.OWN_LIMIT: "this process got none of its own database connections in time; the database is not"
    " at fault",
}

#: PostgreSQL: by SQLSTATE, else by its class (the first two characters).
SQLSTATES: Mapping[str, ErrorClass] = {
    "02": ErrorClass.DEFECT,
    "03": ErrorClass.DEFECT,
    "08": ErrorClass.DOWN,  # poolers report their own errors here too
    "09": ErrorClass.DEFECT,
    "0A": ErrorClass.DEFECT,
    "0B": ErrorClass.DEFECT,
    "0F": ErrorClass.DEFECT,
    "0L": ErrorClass.NO_RIGHTS,
    "0P": ErrorClass.NO_RIGHTS,
    "0Z": ErrorClass.DEFECT,
    "10": ErrorClass.DEFECT,
    "20": ErrorClass.DEFECT,
    "21": ErrorClass.DEFECT,
    "22": ErrorClass.VALUE,
    "23": ErrorClass.VALUE,
    "24": ErrorClass.DEFECT,
    "25": ErrorClass.DEFECT,
    "25006": ErrorClass.READ_ONLY,
    "25P03": ErrorClass.TIMED_OUT,
    "25P04": ErrorClass.TIMED_OUT,
    "26": ErrorClass.DOWN,  # a prepared statement is missing: a pooler is in between; the connection is replaced
    "27": ErrorClass.DEFECT,
    "28": ErrorClass.NO_RIGHTS,
    "2B": ErrorClass.DEFECT,
    "2D": ErrorClass.DEFECT,
    "2F": ErrorClass.DEFECT,
    "34": ErrorClass.DEFECT,
    "38": ErrorClass.DEFECT,
    "39": ErrorClass.DEFECT,
    "3B": ErrorClass.DEFECT,
    "3D": ErrorClass.MISSING,
    "3F": ErrorClass.NOT_MIGRATED,
    "40": ErrorClass.CONTENDED,
    "40002": ErrorClass.VALUE,
    "42": ErrorClass.DEFECT,
    "42501": ErrorClass.NO_RIGHTS,
    "42703": ErrorClass.NOT_MIGRATED,
    "42P01": ErrorClass.NOT_MIGRATED,
    "42P05": ErrorClass.DOWN,  # a prepared statement of another client: as 26
    "44": ErrorClass.VALUE,
    "53": ErrorClass.OVERLOADED,
    "54": ErrorClass.VALUE,
    "55": ErrorClass.DEFECT,
    "55P03": ErrorClass.CONTENDED,
    "57": ErrorClass.DOWN,
    "57014": ErrorClass.TIMED_OUT,
    "58": ErrorClass.DOWN,
    "58P03": ErrorClass.DEFECT,
    "72": ErrorClass.CONTENDED,
    "F0": ErrorClass.DOWN,
    "HV": ErrorClass.DEFECT,
    "P0": ErrorClass.DEFECT,
    "XX": ErrorClass.DEFECT,
    "XX001": ErrorClass.DAMAGED,
    "XX002": ErrorClass.DAMAGED,
}

#: A failed connection has a message and no SQLSTATE. The first text found in it decides; without any: down.
CONNECT_MESSAGES: Mapping[str, ErrorClass] = {
    "session is read-only": ErrorClass.READ_ONLY,  # target_session_attrs=read-write
    "server is in hot standby mode": ErrorClass.READ_ONLY,  # target_session_attrs=primary
    "too many clients already": ErrorClass.OVERLOADED,
    "remaining connection slots": ErrorClass.OVERLOADED,
    "too many connections for": ErrorClass.OVERLOADED,
    "no more connections allowed": ErrorClass.OVERLOADED,  # PgBouncer's max_client_conn
    "query_wait_timeout": ErrorClass.OVERLOADED,  # PgBouncer: no server connection became free
    "password authentication failed": ErrorClass.NO_RIGHTS,
    "no pg_hba.conf entry": ErrorClass.NO_RIGHTS,
    'role "': ErrorClass.NO_RIGHTS,  # … does not exist
    "permission denied": ErrorClass.NO_RIGHTS,
    '" does not exist': ErrorClass.MISSING,  # a database; roles are handled above
    "no such database": ErrorClass.MISSING,  # PgBouncer's words
    "is not permitted to log in": ErrorClass.NO_RIGHTS,
}

#: SQLite: by its primary result code.
SQLITE_CODES: Mapping[int, ErrorClass] = {
    sqlite3.SQLITE_ERROR: ErrorClass.DEFECT,  # or not migrated: SQLITE_MESSAGES
    sqlite3.SQLITE_INTERNAL: ErrorClass.DEFECT,
    sqlite3.SQLITE_PERM: ErrorClass.NO_RIGHTS,
    sqlite3.SQLITE_ABORT: ErrorClass.CONTENDED,
    sqlite3.SQLITE_BUSY: ErrorClass.CONTENDED,
    sqlite3.SQLITE_LOCKED: ErrorClass.CONTENDED,
    sqlite3.SQLITE_NOMEM: ErrorClass.OVERLOADED,
    sqlite3.SQLITE_READONLY: ErrorClass.READ_ONLY,
    sqlite3.SQLITE_INTERRUPT: ErrorClass.TIMED_OUT,
    sqlite3.SQLITE_IOERR: ErrorClass.DOWN,
    sqlite3.SQLITE_CORRUPT: ErrorClass.DAMAGED,
    sqlite3.SQLITE_NOTFOUND: ErrorClass.DEFECT,
    sqlite3.SQLITE_FULL: ErrorClass.OVERLOADED,
    sqlite3.SQLITE_CANTOPEN: ErrorClass.MISSING,
    sqlite3.SQLITE_PROTOCOL: ErrorClass.CONTENDED,
    sqlite3.SQLITE_EMPTY: ErrorClass.DEFECT,
    sqlite3.SQLITE_SCHEMA: ErrorClass.CONTENDED,
    sqlite3.SQLITE_TOOBIG: ErrorClass.VALUE,
    sqlite3.SQLITE_CONSTRAINT: ErrorClass.VALUE,
    sqlite3.SQLITE_MISMATCH: ErrorClass.VALUE,
    sqlite3.SQLITE_MISUSE: ErrorClass.DEFECT,
    sqlite3.SQLITE_NOLFS: ErrorClass.OVERLOADED,
    sqlite3.SQLITE_AUTH: ErrorClass.NO_RIGHTS,
    sqlite3.SQLITE_FORMAT: ErrorClass.DEFECT,
    sqlite3.SQLITE_RANGE: ErrorClass.DEFECT,
    sqlite3.SQLITE_NOTADB: ErrorClass.MISSING,
}
#: SQLite has one code for every fault of a statement, so its message decides.
SQLITE_MESSAGES: Mapping[str, ErrorClass] = {
    "no such table": ErrorClass.NOT_MIGRATED,
    "no such column": ErrorClass.NOT_MIGRATED,
    "has no column named": ErrorClass.NOT_MIGRATED,
    "malformed JSON": ErrorClass.VALUE,
}


def error_class(error: BaseException) -> ErrorClass | None:
    """Return what this error means; None if it is not an error of the database."""
    if isinstance(error, PoolTimeout):
        return ErrorClass.OWN_LIMIT
    if not isinstance(error, DBAPIError):
        return None
    state = getattr(error.orig, "sqlstate", None)
    if state is not None:
        return of_sqlstate(state)
    code = getattr(error.orig, "sqlite_errorcode", None)
    if code is not None:
        return _of_sqlite(code, str(error.orig))
    return _of_connection(error)


def of_sqlstate(state: str) -> ErrorClass:
    """Return the meaning of one SQLSTATE. A class that is not in the table is a defect."""
    return SQLSTATES.get(state) or SQLSTATES.get(state[:2], ErrorClass.DEFECT)


def _of_sqlite(code: int, message: str) -> ErrorClass:
    primary = code & 0xFF
    found = _by_message(SQLITE_MESSAGES, message) if primary == sqlite3.SQLITE_ERROR else None
    return found or SQLITE_CODES.get(primary, ErrorClass.DEFECT)


def _of_connection(error: DBAPIError) -> ErrorClass:
    """Classify an error without a code: the connection was lost, or never made."""
    lost = error.connection_invalidated or isinstance(error, (OperationalError, InterfaceError))
    fallback = ErrorClass.DOWN if lost else ErrorClass.DEFECT
    return _by_message(CONNECT_MESSAGES, str(error.orig)) or fallback


def _by_message(table: Mapping[str, ErrorClass], message: str) -> ErrorClass | None:
    return next((found for part, found in table.items() if part in message), None)
