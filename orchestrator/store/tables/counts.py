"""The number of sessions at rest. The database itself updates it with every change, under whichever release runs."""

from sqlalchemy import DDL, BigInteger, Column, event
from sqlmodel import Field

from orchestrator.store.core.conditions import AT_REST
from orchestrator.store.tables.base import Row
from orchestrator.store.tables.sessions import SessionRow

_STATES = ", ".join(f"'{state}'" for state in AT_REST)
_WATCHED = "state, provider, account_id, deleted_at"
_TARGET = "INSERT INTO session_counts (account_id, state, provider, n)"
_ADD = "ON CONFLICT (account_id, state, provider) DO UPDATE SET n = session_counts.n + excluded.n"


def _rests(row: str) -> str:
    return f"{row}.deleted_at IS NULL AND {row}.state IN ({_STATES})"


def one(row: str, sign: str) -> str:
    """Return the statement that counts one row, for a trigger on each row."""
    return f"{_TARGET} VALUES ({row}.account_id, {row}.state, coalesce({row}.provider, ''), {sign}1) {_ADD};"


def _many(sign: str) -> str:
    """Return the statement that counts the rows of a statement, for a trigger on each statement."""
    each = f"account_id, state, coalesce(provider, ''), {sign}count(*) FROM touched WHERE {_rests('touched')}"
    return f"{_TARGET} SELECT {each} GROUP BY 1, 2, 3 ORDER BY 1, 2, 3 {_ADD};"


def _function(name: str, body: str) -> tuple[str, str]:
    return (
        "postgresql",
        f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} RETURN NULL; END $$",
    )


def _on_sqlite(name: str, when: str, row: str, sign: str) -> tuple[str, str]:
    return (
        "sqlite",
        f"CREATE TRIGGER {name} AFTER {when} ON sessions WHEN {_rests(row)} BEGIN {one(row, sign)} END",
    )


#: (dialect, statement). Where SQLite rebuilds the table `sessions` (batch mode), they must be made again too.
COUNTING = (
    _on_sqlite("sessions_come", "INSERT", "NEW", ""),
    _on_sqlite("sessions_go", "DELETE", "OLD", "-"),
    _on_sqlite("sessions_leave_a_state", f"UPDATE OF {_WATCHED}", "OLD", "-"),
    _on_sqlite("sessions_reach_a_state", f"UPDATE OF {_WATCHED}", "NEW", ""),
    _function("count_sessions_that_come", _many("")),
    _function("count_sessions_that_go", _many("-")),
    _function(
        "count_a_session_that_changes",
        f"IF {_rests('OLD')} THEN {one('OLD', '-')} END IF; IF {_rests('NEW')} THEN {one('NEW', '')} END IF;",
    ),
    (
        "postgresql",
        "CREATE TRIGGER sessions_come AFTER INSERT ON sessions REFERENCING NEW TABLE AS touched"
        " FOR EACH STATEMENT EXECUTE FUNCTION count_sessions_that_come()",
    ),
    (
        "postgresql",
        "CREATE TRIGGER sessions_go AFTER DELETE ON sessions REFERENCING OLD TABLE AS touched"
        " FOR EACH STATEMENT EXECUTE FUNCTION count_sessions_that_go()",
    ),
    (
        "postgresql",
        f"CREATE TRIGGER sessions_change AFTER UPDATE OF {_WATCHED} ON sessions FOR EACH ROW"
        " WHEN ((OLD.state, OLD.provider, OLD.account_id, OLD.deleted_at)"
        " IS DISTINCT FROM (NEW.state, NEW.provider, NEW.account_id, NEW.deleted_at))"
        " EXECUTE FUNCTION count_a_session_that_changes()",
    ),
)


class SessionCountRow(Row, table=True):
    """How many of an account's sessions are at rest and not deleted, by state and last provider ('': none)."""

    __tablename__ = "session_counts"

    account_id: str = Field(primary_key=True)
    state: str = Field(primary_key=True)
    provider: str = Field(primary_key=True)
    n: int = Field(sa_column=Column(BigInteger, nullable=False))


for _dialect, _statement in COUNTING:
    event.listen(SessionRow.__table__, "after_create", DDL(_statement).execute_if(dialect=_dialect))  # type: ignore[attr-defined, no-untyped-call]
