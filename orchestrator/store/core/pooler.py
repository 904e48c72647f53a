"""Connect to PostgreSQL directly, or through a pooler such as PgBouncer, with the same timeouts.

A direct connection gets its timeouts with the startup option `options` and keeps them. A pooler in transaction mode
refuses that option or drops it, and hands each transaction to another server connection: what a session sets, prepares
or locks is lost, or affects another client. Through a pooler each transaction therefore begins with its timeouts, in
the round trip of its BEGIN, and no statement is prepared by name.

Each new connection shows which of the two it is: a pooler answers cancel requests itself, so the process id that it
announces differs from the server's."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Dialect, Engine, event, text

#: The timeouts of every transaction, as PostgreSQL writes them.
TIMEOUTS: Mapping[str, str] = {
    "statement_timeout": "30s",
    "lock_timeout": "15s",
    "idle_in_transaction_session_timeout": "1min",
    "TimeZone": "UTC",
}
#: Errors of prepared statements that another client's transaction made or dropped.
POOLER_STATES = frozenset({"26000", "42P05"})

_OPTIONS = " ".join(f"-c {name}={value}" for name, value in TIMEOUTS.items())
_SET_LOCAL = "; ".join(f"SET LOCAL {name} = '{value}'" for name, value in TIMEOUTS.items())
_REFUSED = "unsupported startup parameter"
_PROBE = "SELECT pg_backend_pid(), " + ", ".join(f"current_setting('{name}')" for name in TIMEOUTS)
_POOLED = "orchestrator_pooled"
#: psycopg's default: a statement is prepared when it is executed for the fifth time.
_PREPARE_AFTER = 5


class Pooling:
    """Whether a pooler is in between, for one engine. Threads may share it."""

    def __init__(self) -> None:
        self._refuses_options = False
        self._suspected = False

    def listen(self, engine: Engine) -> None:
        """Set up every new connection of this engine, direct or pooled."""
        event.listen(engine, "do_connect", self._connect)
        event.listen(engine, "connect", self._look)
        event.listen(engine, "begin", _begin)

    def suspect(self) -> None:
        """Treat every new connection as pooled: an error has shown that a pooler is in between."""
        self._suspected = True

    def _connect(self, dialect: Dialect, _record: Any, args: Any, parameters: dict[str, Any]) -> Any:
        parameters = {"prepare_threshold": None, **parameters}
        own = str(parameters.get("options") or "")
        if not self._refuses_options:
            try:
                return dialect.connect(*args, **{**parameters, "options": f"{own} {_OPTIONS}".strip()})
            except dialect.loaded_dbapi.Error as error:
                if _REFUSED not in str(error):
                    raise
                self._refuses_options = True
        return dialect.connect(*args, **parameters)

    def _look(self, connection: Any, record: Any) -> None:
        connection.autocommit = True
        pid, *found = connection.execute(_PROBE).fetchone()
        same_server = pid == connection.info.backend_pid
        direct = same_server and found == list(TIMEOUTS.values()) and not self._suspected
        record.info[_POOLED] = not direct
        if same_server:
            self._refuses_options = False  # a failover may lead to a server that is reached directly
        if direct:
            connection.prepare_threshold = _PREPARE_AFTER
            connection.autocommit = False


def is_pooled(connection: Connection) -> bool:
    """Return whether this connection goes through a pooler, or loses its timeouts as if it did."""
    return bool(connection.info.get(_POOLED))


def timeouts(connection: Connection) -> dict[str, str]:
    """Return the timeouts in force in this transaction, as the server reports them."""
    names = ", ".join(f"current_setting('{name}')" for name in TIMEOUTS)
    found = connection.execute(text(f"SELECT {names}")).one()
    return dict(zip(TIMEOUTS, found, strict=True))


def _begin(connection: Connection) -> None:
    level = connection.get_execution_options().get("isolation_level")
    if not is_pooled(connection) or level == "AUTOCOMMIT":
        return
    driver: Any = connection.connection.driver_connection
    if not driver.autocommit:  # SQLAlchemy has changed or restored its isolation level
        driver.autocommit = True  # so that the driver sends no BEGIN of its own
    isolation = f" ISOLATION LEVEL {level}" if level else ""
    connection.exec_driver_sql(f"BEGIN{isolation}; {_SET_LOCAL}")
