"""An account's starting and running sessions in groups: one row sums up sessions that are alike. The database itself
updates the rows with every change, under whichever release runs.

So the money that any number of sessions burn is read from a few rows."""

from decimal import Decimal

from sqlalchemy import DDL, BigInteger, Column, event
from sqlmodel import Field

from orchestrator.store.core.columns import money
from orchestrator.store.core.conditions import IS_ACTIVE
from orchestrator.store.tables.base import Row
from orchestrator.store.tables.sessions import SessionRow

_KEY = "account_id, phase, price_per_node_hour, nodes, block_seconds"
_SUMS = ("sessions", "charged", "since_seconds", "ran_seconds")
#: Columns that decide a session's group, or what it adds to the group.
_WATCHED = (
    "account_id",
    "state",
    "deleted_at",
    "running_at",
    "running_since",
    "ran_microseconds",
    "charged",
    "price_per_node_hour",
    "nodes",
    "block_seconds",
)
_TARGET = f"INSERT INTO session_groups ({_KEY}, {', '.join(_SUMS)}, latest_second)"
_LATEST = {"sqlite": "max", "postgresql": "greatest"}


def is_active(row: str) -> str:
    """Return the SQL condition that the row starts or runs."""
    return IS_ACTIVE.replace("state", f"{row}.state").replace("deleted_at", f"{row}.deleted_at")


def _phase(row: str) -> str:
    first = f"WHEN {row}.running_at IS NULL THEN 'starting'"
    return f"CASE WHEN {row}.state = 'running' THEN 'running' {first} ELSE 'moving' END"


def _group(row: str) -> str:
    same = ", ".join(f"{row}.{name}" for name in ("price_per_node_hour", "nodes", "block_seconds"))
    return f"{row}.account_id, {_phase(row)}, {same}"


def _since(row: str, dialect: str) -> str:
    """Return the whole second in which the session began to run."""
    if dialect == "sqlite":
        return f"coalesce(CAST(strftime('%s', substr({row}.running_since, 1, 19)) AS INTEGER), 0)"
    return f"coalesce(floor(extract(epoch FROM {row}.running_since))::bigint, 0)"


def _add(dialect: str) -> str:
    sums = ", ".join(f"{name} = session_groups.{name} + excluded.{name}" for name in _SUMS)
    latest = f"latest_second = {_LATEST[dialect]}(session_groups.latest_second, excluded.latest_second)"
    return f"ON CONFLICT ({_KEY}) DO UPDATE SET {sums}, {latest}"


def _one(row: str, dialect: str) -> str:
    """Return the statement that adds one session to its group, or removes it (OLD)."""
    sign = "-" if row == "OLD" else ""
    since = _since(row, dialect)
    sums = f"{sign}1, {sign}{row}.charged, {sign}{since}, {sign}({row}.ran_microseconds / 1000000)"
    latest = "0" if sign else f"{since} + 1"
    return f"{_TARGET} SELECT {_group(row)}, {sums}, {latest} WHERE {is_active(row)} {_add(dialect)};"


def many(sign: str, rows: str, dialect: str) -> str:
    """Return the statement that adds all sessions of `rows` to their groups or, with a minus, removes them."""
    since = _since(rows, dialect)
    sums = ", ".join(
        f"{sign}sum({what})" for what in (f"{rows}.charged", since, f"{rows}.ran_microseconds / 1000000")
    )
    latest = "0" if sign else f"max({since}) + 1"
    return (
        f"{_TARGET} SELECT {_group(rows)}, {sign}count(*), {sums}, {latest} FROM {rows}"  # noqa: S608
        f" WHERE {is_active(rows)} GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5 {_add(dialect)};"
    )


def _clear(accounts: str) -> str:
    return f"DELETE FROM session_groups WHERE account_id IN ({accounts}) AND sessions = 0;"  # noqa: S608


def _function(name: str, body: str) -> tuple[str, str]:
    return (
        "postgresql",
        f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} RETURN NULL; END $$",
    )


def _on_sqlite(name: str, when: str, *rows: str) -> tuple[str, str]:
    condition = " OR ".join(f"({is_active(row)})" for row in rows)
    body = " ".join(_one(row, "sqlite") for row in rows)
    clear = f" {_clear('OLD.account_id')}" if "OLD" in rows else ""
    return (
        "sqlite",
        f"CREATE TRIGGER {name} AFTER {when} ON sessions WHEN {condition} BEGIN {body}{clear} END",
    )


def _all(row: str) -> str:
    return ", ".join(f"{row}.{name}" for name in _WATCHED)


#: (dialect, statement). Where SQLite rebuilds the table `sessions` (batch mode), they must be made again too.
GROUPING = (
    _on_sqlite("sessions_join_groups", "INSERT", "NEW"),
    _on_sqlite("sessions_leave_groups", "DELETE", "OLD"),
    _on_sqlite("sessions_change_groups", f"UPDATE OF {', '.join(_WATCHED)}", "OLD", "NEW"),
    _function("group_sessions_that_come", many("", "touched", "postgresql")),
    _function(
        "group_sessions_that_go",
        many("-", "touched", "postgresql") + " " + _clear("SELECT account_id FROM touched"),  # noqa: S608
    ),
    _function(
        "group_a_session_that_changes",
        f"{_one('OLD', 'postgresql')} {_one('NEW', 'postgresql')} {_clear('OLD.account_id')}",
    ),
    (
        "postgresql",
        "CREATE TRIGGER sessions_join_groups AFTER INSERT ON sessions REFERENCING NEW TABLE AS touched"
        " FOR EACH STATEMENT EXECUTE FUNCTION group_sessions_that_come()",
    ),
    (
        "postgresql",
        "CREATE TRIGGER sessions_leave_groups AFTER DELETE ON sessions REFERENCING OLD TABLE AS touched"
        " FOR EACH STATEMENT EXECUTE FUNCTION group_sessions_that_go()",
    ),
    (
        "postgresql",
        f"CREATE TRIGGER sessions_change_groups AFTER UPDATE OF {', '.join(_WATCHED)} ON sessions FOR EACH ROW"
        f" WHEN (({_all('OLD')}) IS DISTINCT FROM ({_all('NEW')})"
        f" AND (({is_active('OLD')}) OR ({is_active('NEW')})))"
        " EXECUTE FUNCTION group_a_session_that_changes()",
    ),
)


class SessionGroupRow(Row, table=True):
    """An account's sessions of one phase and price: how many they are, and sums of what their cost depends on."""

    __tablename__ = "session_groups"

    account_id: str = Field(primary_key=True)
    phase: str = Field(primary_key=True)
    price_per_node_hour: Decimal = Field(sa_column=money(primary_key=True))
    nodes: int = Field(primary_key=True)
    block_seconds: int = Field(primary_key=True)
    sessions: int = Field(sa_column=Column(BigInteger, nullable=False))
    charged: Decimal = Field(sa_column=money())
    since_seconds: int = Field(sa_column=Column(BigInteger, nullable=False))
    """The sum of the whole seconds since 1970 at which they began to run."""
    ran_seconds: int = Field(sa_column=Column(BigInteger, nullable=False))
    """The sum of the whole seconds that each ran before."""
    latest_second: int = Field(sa_column=Column(BigInteger, nullable=False))
    """No session of the group began to run later than this."""


for _dialect, _statement in GROUPING:
    _ddl = DDL(_statement.replace("%", "%%"))  # type: ignore[no-untyped-call]
    event.listen(SessionRow.__table__, "after_create", _ddl.execute_if(dialect=_dialect))  # type: ignore[attr-defined]
