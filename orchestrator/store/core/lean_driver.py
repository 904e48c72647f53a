"""What psycopg and its pool do beside the statements of a transaction, in less CPU and fewer round trips: describe
results, check connections that were idle, and open more of them when many threads want one at once."""

import select
import time
from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

import psycopg
from sqlalchemy import Engine
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool
from sqlalchemy.util.queue import Empty

#: Seconds after which a connection that was not used is asked whether it is still there, whatever its socket says: a
#: firewall may have forgotten it.
_ASK_AFTER = 5.0
#: Seconds for which a thread waits for a connection in use before another one is opened, which costs as much CPU as two
#: creates and knows no prepared statement.
_WAIT_LIMIT = 0.5
_MANY = 8


class LeanCursor(psycopg.Cursor[Any]):
    """A cursor that describes its columns by what SQLAlchemy reads of them: name and type. psycopg makes an object of
    each, which took a twelfth of a create's CPU."""

    @property
    def description(self) -> Any:
        """The columns of the result; None where it has none."""
        result = self.pgresult
        if result is None or not result.nfields:
            return super().description
        return [_column(result.fname(n), result.ftype(n)) for n in range(result.nfields)]


def _column(name: bytes | None, kind: int) -> Sequence[Any]:
    return (name or b"").decode(), kind, None, None, None, None, None


class PatientPool(QueuePool):
    """A pool that waits a little for a connection to be given back before it opens one beyond those that it keeps."""

    def _do_get(self) -> ConnectionPoolEntry:
        if self._overflow >= 0:  # all that are kept are open
            try:
                return self._pool.get(True, _WAIT_LIMIT)
            except Empty:
                pass
        return super()._do_get()


def pool_of(size: int) -> type[QueuePool]:
    """Return the kind of pool for a process that keeps so many connections: only many threads take turns."""
    return PatientPool if size >= _MANY else QueuePool


def ask_less(engine: Engine) -> None:
    """Let the check of a pooled connection ask its server only where there is doubt. The server of a connection that
    ended has closed it, and a socket that was closed can be read. If a server vanishes without that, what is under way
    in the next `_ASK_AFTER` seconds fails as in any outage."""
    ask, checked = engine.dialect.do_ping, WeakKeyDictionary[Any, float]()

    def check(dbapi_connection: Any) -> bool:
        now, last = time.monotonic(), checked.get(dbapi_connection, float("-inf"))
        checked[dbapi_connection] = now
        return (now - last < _ASK_AFTER and _is_silent(dbapi_connection)) or ask(dbapi_connection)

    engine.dialect.do_ping = check  # type: ignore[method-assign]


def _is_silent(connection: Any) -> bool:
    """Return whether the server has neither sent anything nor closed the connection since its last answer."""
    if connection.closed:
        return False
    waiting = select.poll()  # any number of descriptors
    waiting.register(connection.fileno(), select.POLLIN)
    return not waiting.poll(0)
