"""The next step of each session that has one. The database itself writes the rows with every change of a session, under
whichever release runs.

They make updates of sessions cheap. Where an update changes a column that any index names, PostgreSQL writes an entry
into every index of the table, even if that index is partial and does not hold the row. A ping changes
`sessions.next_step_at` twice, so no index of `sessions` names it; the index is on this table, which is narrow."""

from datetime import datetime

from sqlalchemy import DDL, Index, event
from sqlmodel import Field

from orchestrator.rules.states import Step
from orchestrator.store.core.columns import enum
from orchestrator.store.tables.base import Row
from orchestrator.store.tables.sessions import SessionRow

_WATCHED = "next_step, next_step_at, provider"
_TARGET = "INSERT INTO next_steps (step, at, provider, session_id)"
_AGAIN = "ON CONFLICT (session_id) DO UPDATE SET step = excluded.step, at = excluded.at, provider = excluded.provider"
_VALUES = "NEW.next_step, NEW.next_step_at, NEW.provider, NEW.id"
_UPDATE = (
    "UPDATE next_steps SET step = NEW.next_step, at = NEW.next_step_at, provider = NEW.provider"
    " WHERE session_id = NEW.id;"
)
_DELETE = "DELETE FROM next_steps WHERE session_id = OLD.id;"
#: Conditions of the triggers.
_HAS = "NEW.next_step IS NOT NULL"
_HAD = "OLD.next_step IS NOT NULL"
_DIFFERS = (
    f"{_HAS} AND (NEW.next_step_at IS DISTINCT FROM OLD.next_step_at OR NEW.next_step IS DISTINCT FROM OLD.next_step"
    " OR NEW.provider IS DISTINCT FROM OLD.provider)"
)


def _on_sqlite(name: str, when: str, condition: str, body: str) -> tuple[str, str]:
    fires = condition.replace("IS DISTINCT FROM", "IS NOT")
    return ("sqlite", f"CREATE TRIGGER {name} AFTER {when} ON sessions WHEN {fires} BEGIN {body} END")


def _function(name: str, body: str) -> tuple[str, str]:
    return (
        "postgresql",
        f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} RETURN NULL; END $$",
    )


def _on_postgresql(name: str, when: str, condition: str, function: str) -> tuple[str, str]:
    return (
        "postgresql",
        f"CREATE TRIGGER {name} AFTER {when} ON sessions FOR EACH ROW WHEN ({condition})"
        f" EXECUTE FUNCTION {function}()",
    )


#: Free space on each page of `sessions`, in which PostgreSQL puts the next version of a row that an update changes.
_ROOM = ("postgresql", "ALTER TABLE sessions SET (fillfactor = 70)")
#: (dialect, statement). Where SQLite rebuilds the table `sessions` (batch mode), they must be made again too. For an
#: update PostgreSQL first looks for the row: `ON CONFLICT` would lock it, and log that, before each change.
PLANNING = (
    _ROOM,
    _on_sqlite("sessions_get_a_step", "INSERT", _HAS, f"{_TARGET} VALUES ({_VALUES}) {_AGAIN};"),
    _on_sqlite(
        "sessions_change_their_step",
        f"UPDATE OF {_WATCHED}",
        _DIFFERS,
        f"{_TARGET} VALUES ({_VALUES}) {_AGAIN};",
    ),
    _on_sqlite(
        "sessions_lose_their_step", "UPDATE OF next_step", f"NEW.next_step IS NULL AND {_HAD}", _DELETE
    ),
    _on_sqlite("sessions_go_with_their_step", "DELETE", _HAD, _DELETE),
    _function(
        "write_next_steps",
        f"{_TARGET} SELECT {_WATCHED}, id FROM touched WHERE next_step IS NOT NULL {_AGAIN};",  # noqa: S608
    ),
    _function("write_next_step", f"{_UPDATE} IF NOT FOUND THEN {_TARGET} VALUES ({_VALUES}); END IF;"),
    _function("delete_next_step", _DELETE),
    (
        "postgresql",
        "CREATE TRIGGER sessions_get_a_step AFTER INSERT ON sessions REFERENCING NEW TABLE AS touched"
        " FOR EACH STATEMENT EXECUTE FUNCTION write_next_steps()",
    ),
    _on_postgresql("sessions_change_their_step", f"UPDATE OF {_WATCHED}", _DIFFERS, "write_next_step"),
    _on_postgresql(
        "sessions_lose_their_step",
        "UPDATE OF next_step",
        f"NEW.next_step IS NULL AND {_HAD}",
        "delete_next_step",
    ),
    _on_postgresql("sessions_go_with_their_step", "DELETE", _HAD, "delete_next_step"),
)


class NextStepRow(Row, table=True):
    """When the next step of a session is due. It finds sessions; what is done is decided on the session's own row."""

    __tablename__ = "next_steps"
    __table_args__ = (
        Index("ix_next_steps_due", "step", "at"),
        Index("ix_next_steps_due_at_provider", "provider", "step", "at"),
    )

    session_id: str = Field(primary_key=True)
    provider: str | None = None
    step: Step = Field(sa_column=enum(Step))
    at: datetime


for _dialect, _statement in PLANNING:
    event.listen(SessionRow.__table__, "after_create", DDL(_statement).execute_if(dialect=_dialect))  # type: ignore[attr-defined, no-untyped-call]
