"""Open the database: SQLite without Python's own transactions, PostgreSQL with timeouts. No error of either quotes a
row."""

import os
import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine import ExceptionContext

from orchestrator.store.core.pooler import POOLER_STATES, Pooling

#: Classes of PostgreSQL's errors that repeat written values in their details: data that does not fit, constraints.
_TELL_OF_VALUES = frozenset({"22", "23"})
#: Errors of a connection that only reads, perhaps because its file or its server was read-only when it was opened.
_READ_ONLY = ("25006", "attempt to write a readonly database")
#: Data that does not fit is quoted in the first line already. The name of a constraint follows no colon.
_QUOTED = re.compile(r': ".*"')

#: The option of a connection that says what to call before each of its statements.
_BEFORE_EACH = "orchestrator_before_each"

#: Seconds for which a statement waits for a SQLite database that another connection writes to.
BUSY_SECONDS = 15.0


def open_engine(url: str, pool_size: int, busy_seconds: float = BUSY_SECONDS) -> Engine:
    """Return the engine for this URL; it connects with its first use. No error of it repeats a value of a row.
    `busy_seconds`: how long one statement waits for the lock of a SQLite database."""
    sqlite = make_url(url).get_backend_name() == "sqlite"
    engine = _sqlite(url, pool_size, busy_seconds) if sqlite else _postgresql(url, pool_size)
    event.listen(engine, "before_execute", _call_first)
    event.listen(engine, "handle_error", _hush)
    event.listen(engine, "handle_error", _replace_read_only_connection)
    return engine


def call_before_each(connection: Connection, call: Callable[[], None] | None) -> None:
    """Call this before each statement of the connection; None: nothing more. An event of this one connection would mean
    the same, and take ten times as long to set up."""
    connection.execution_options(**{_BEFORE_EACH: call})


def _call_first(connection: Connection, *_event: Any) -> None:
    call = connection.get_execution_options().get(_BEFORE_EACH)
    if call is not None:
        call()


def _postgresql(url: str, pool_size: int) -> Engine:
    import psycopg

    from orchestrator.store.core import lean_driver

    engine = create_engine(
        url,
        hide_parameters=True,
        pool_pre_ping=True,
        poolclass=lean_driver.pool_of(pool_size),
        pool_size=pool_size,
        max_overflow=pool_size,
        connect_args={
            "connect_timeout": 5,
            "application_name": "orchestrator",
            "cursor_factory": lean_driver.LeanCursor,
        },
    )
    lean_driver.ask_less(engine)
    pooling = Pooling()
    pooling.listen(engine)

    @event.listens_for(engine, "handle_error")
    def replace_connection(context: ExceptionContext) -> None:
        cause = context.original_exception
        state = getattr(cause, "sqlstate", None)
        if state in POOLER_STATES:
            pooling.suspect()
        if state in POOLER_STATES or (isinstance(cause, psycopg.InternalError) and state is None):
            context.is_disconnect = True  # the connection leads to another server, or is out of step

    return engine


def _sqlite(url: str, pool_size: int, busy_seconds: float) -> Engine:
    engine = create_engine(
        url,
        hide_parameters=True,
        pool_size=pool_size,
        max_overflow=pool_size,
        connect_args={"check_same_thread": False, "timeout": busy_seconds},
    )

    @event.listens_for(engine, "do_connect")
    def make_private(_dialect: Any, _record: Any, arguments: Any, _parameters: Any) -> None:
        _make_private(arguments[0] if arguments else "")

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # Python's own transactions lose updates
        busy = f"busy_timeout={int(busy_seconds * 1000)}"
        for pragma in (busy, "journal_mode=WAL", "foreign_keys=ON", "synchronous=NORMAL"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        reads = connection.get_execution_options().get("orchestrator_read")
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")

    return engine


def _make_private(path: str) -> None:
    """Create a database's file so that only its owner can read it; SQLite gives its journals the same mode. An existing
    file is left as it is."""
    if path in ("", ":memory:") or path.startswith("file:"):
        return
    with suppress(OSError):  # it exists, or SQLite's own error says why it cannot be created
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


def _hush(context: ExceptionContext) -> None:
    """Keep only the first line of a refusal: PostgreSQL's details quote a whole row, which no error or log may show."""
    cause, error = context.original_exception, context.sqlalchemy_exception
    state = getattr(cause, "sqlstate", None) or ""
    if error is None or state[:2] not in _TELL_OF_VALUES:
        return
    full = str(cause)
    first = _QUOTED.sub("", full.partition("\n")[0])
    cause.args = (first,)
    error.args = tuple(arg.replace(full, first) if isinstance(arg, str) else arg for arg in error.args)


def _replace_read_only_connection(context: ExceptionContext) -> None:
    """Replace a connection that can only read: on a new connection the server may accept writes."""
    cause = context.original_exception
    if getattr(cause, "sqlstate", None) in _READ_ONLY or str(cause) in _READ_ONLY:
        context.is_disconnect = True
