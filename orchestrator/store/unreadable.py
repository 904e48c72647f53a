"""Rows that cannot be read, because another release or a person wrote them."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, Table, select, update
from sqlalchemy.exc import SQLAlchemyError

from orchestrator.rules.states import Step
from orchestrator.rules.values import Placement, Session
from orchestrator.store.core.error_classes import ErrorClass, error_class
from orchestrator.store.core.rows import snapshot
from orchestrator.store.queries.audit import ACCOUNTS, ARCHIVED, LEDGER, OUTBOX, PLACEMENTS, SESSIONS
from orchestrator.store.queries.due import STEPS

#: Tables, and their key, with rows of a session, a placement or an account.
_PLACES = (
    (SESSIONS, "id"),
    (PLACEMENTS, "id"),
    (PLACEMENTS, "session_id"),
    (OUTBOX, "subject"),
    (ACCOUNTS, "id"),
    (LEDGER, "session_id"),
    (LEDGER, "account_id"),
    (ARCHIVED, "id"),
)
#: The rows that a claim reads.
_READ: dict[str, tuple[tuple[Table, str, type], ...]] = {
    SESSIONS.name: ((SESSIONS, "id", Session), (PLACEMENTS, "session_id", Placement)),
    PLACEMENTS.name: ((PLACEMENTS, "id", Placement),),
}
#: The most rows of each table that are checked.
_MOST = 1000


def is_about_a_row(error: Exception) -> bool:
    """Return whether the row that was read is at fault, and not the database."""
    meaning = error_class(error)
    return meaning is ErrorClass.VALUE or (meaning is None and not isinstance(error, SQLAlchemyError))


def unreadable(connection: Connection, subject: str) -> Iterator[str]:
    """Yield `table.column` of values of this session, placement or account that cannot be read."""
    for table, key in _PLACES:
        for column in table.columns:
            try:
                connection.execute(select(column).where(table.c[key] == subject).limit(_MOST)).all()
            except Exception as error:
                if not is_about_a_row(error):
                    raise
                yield f"{table.name}.{column.name}"


def set_aside(
    connection: Connection, step: Step, provider: str, now: datetime, until: datetime
) -> Sequence[str]:
    """Postpone the unreadable due rows there to `until`, so that others can be claimed; return their ids."""
    table = SESSIONS if step is Step.PING else PLACEMENTS
    ids = connection.execute(_due(step, provider, now).limit(_MOST)).scalars()

    def read(some: Sequence[str]) -> None:
        for place, key, kind in _READ[table.name]:
            for row in connection.execute(select(place).where(place.c[key].in_(some))):
                snapshot(kind, row)

    bad = list(_failing(list(ids), read))
    connection.execute(update(table).where(table.c.id.in_(bad)).values(next_step_at=until))
    return bad


def _due(step: Step, provider: str, now: datetime) -> Select[str]:
    if step is Step.PING:
        due = (STEPS.c.step == step, STEPS.c.provider == provider, STEPS.c.at <= now)
        return select(STEPS.c.session_id).where(*due).order_by(STEPS.c.at)
    here = PLACEMENTS.c.next_step == step, PLACEMENTS.c.provider == provider
    due = (*here, PLACEMENTS.c.next_step_at <= now)
    return select(PLACEMENTS.c.id).where(*due).order_by(PLACEMENTS.c.next_step_at)


def _failing(ids: Sequence[str], read: Callable[[Sequence[str]], Any]) -> Iterator[str]:
    """Yield those of `ids` that cannot be read. Find them by halving."""
    try:
        if ids:
            read(ids)
    except Exception as error:
        if not is_about_a_row(error):
            raise
        if len(ids) == 1:
            yield ids[0]
            return
        half = len(ids) // 2
        yield from _failing(ids[:half], read)
        yield from _failing(ids[half:], read)
