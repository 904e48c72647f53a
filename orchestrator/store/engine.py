"""How the database is opened: SQLite without Python's own transactions, PostgreSQL with bounds, both discreet."""

import os
import re
from contextlib import suppress
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import OperationalError

#: Classes of PostgreSQL's errors whose details repeat what was written: data that does not fit, and constraints.
_TELL_OF_VALUES = frozenset({"22", "23"})
#: The database is not ready for anybody: it only reads (a standby after a failover), lacks a table or a column (not
#: migrated yet), or gives us no right to it. psycopg calls these errors of the statement.
_NOT_READY = frozenset({"25006", "42P01", "42703", "42501"})
#: What a connection says that only reads, perhaps because its file or its server did when it was opened.
_READ_ONLY = ("25006", "attempt to write a readonly database")
#: Data that does not fit is quoted in the first line already. The name of a constraint follows no colon.
_QUOTED = re.compile(r': ".*"')


def open_engine(url: str, pool_size: int) -> Engine:
    """The engine for this URL; it connects with its first use. No error of it repeats a value of a row."""
    sqlite = make_url(url).get_backend_name() == "sqlite"
    engine = _sqlite(url, pool_size) if sqlite else _postgresql(url, pool_size)
    event.listen(engine, "handle_error", _hush)
    event.listen(engine, "handle_error", _not_ready, retval=True)
    return engine


def _postgresql(url: str, pool_size: int) -> Engine:
    return create_engine(
        url,
        hide_parameters=True,
        pool_pre_ping=True,
        pool_size=pool_size,
        max_overflow=pool_size,
        connect_args={
            "connect_timeout": 5,
            "application_name": "orchestrator",
            "options": "-c statement_timeout=30000 -c lock_timeout=15000"
            " -c idle_in_transaction_session_timeout=60000 -c timezone=UTC",
        },
    )


def _sqlite(url: str, pool_size: int) -> Engine:
    engine = create_engine(
        url,
        hide_parameters=True,
        pool_size=pool_size,
        max_overflow=pool_size,
        connect_args={"check_same_thread": False, "timeout": 15},
    )

    @event.listens_for(engine, "do_connect")
    def make_private(_dialect: Any, _record: Any, arguments: Any, _parameters: Any) -> None:
        _make_private(arguments[0] if arguments else "")

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # Python's own transactions lose updates
        for pragma in ("busy_timeout=15000", "journal_mode=WAL", "foreign_keys=ON", "synchronous=NORMAL"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        reads = connection.get_execution_options().get("orchestrator_read")
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")

    return engine


def _make_private(path: str) -> None:
    """Create a database's file for its owner alone; SQLite gives its journals the same mode. One that exists stays."""
    if path in ("", ":memory:") or path.startswith("file:"):
        return
    with suppress(OSError):  # it exists, or SQLite says itself why it cannot be made
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


def _hush(context: ExceptionContext) -> None:
    """PostgreSQL tells a whole row in the details of what it refuses; our errors and logs keep its first line."""
    cause, error = context.original_exception, context.sqlalchemy_exception
    state = getattr(cause, "sqlstate", None) or ""
    if error is None or state[:2] not in _TELL_OF_VALUES:
        return
    told = str(cause)
    first = _QUOTED.sub("", told.partition("\n")[0])
    cause.args = (first,)
    error.args = tuple(arg.replace(told, first) if isinstance(arg, str) else arg for arg in error.args)


def _not_ready(context: ExceptionContext) -> BaseException | None:
    """What would meet every statement is an outage, and passes like one."""
    cause, error = context.original_exception, context.sqlalchemy_exception
    state = getattr(cause, "sqlstate", None)
    only_reads = state in _READ_ONLY or str(cause) in _READ_ONLY
    if only_reads:
        context.is_disconnect = True  # another one may write: this one never will
    if error is None or state not in _NOT_READY:
        return None
    return OperationalError(
        context.statement, None, cause, hide_parameters=True, connection_invalidated=only_reads
    )
