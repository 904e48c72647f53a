"""What is due, and where: found in one query before the claims, so that idle providers cost nothing.

Sessions are found by their next step through `next_steps`, which has the indexes, and on the session's own row, which
is the truth."""

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, Join, Select, and_, bindparam, case, exists, select

from orchestrator.rules.states import Step
from orchestrator.store.plain import table_of

STEPS = table_of("next_steps")
_SESSIONS = table_of("sessions")


def with_sessions() -> Join:
    """Return next steps beside their sessions."""
    return STEPS.join(_SESSIONS, _SESSIONS.c.id == STEPS.c.session_id)


def is_due(
    step: Step, at: ColumnElement[datetime] | datetime, *where: ColumnElement[bool]
) -> ColumnElement[bool]:
    """Match rows of `with_sessions` with this step due by then, and further conditions on `next_steps`.

    Both rows are asked. Where another claim has changed a session after this statement began, PostgreSQL checks the
    conditions again on the session as it is now, beside the next step as it was."""
    mine = _SESSIONS.c.next_step == step, _SESSIONS.c.next_step_at <= at
    return and_(STEPS.c.step == step, STEPS.c.at <= at, *where, *mine)


def due_by(step: Step, at: datetime, sessions: Any = _SESSIONS) -> ColumnElement[bool]:
    """Match sessions with this step due by then."""
    return _found(sessions, step, STEPS.c.at <= at, sessions.c.next_step_at <= at)


def due_after(
    step: Step, at: datetime | ColumnElement[datetime], sessions: Any = _SESSIONS
) -> ColumnElement[bool]:
    """Match sessions with this step due later than then."""
    return _found(sessions, step, STEPS.c.at > at, sessions.c.next_step_at > at)


def is_kept() -> ColumnElement[bool]:
    """Match sessions with a next step in `next_steps`, and those with neither."""
    kept = exists().where(STEPS.c.session_id == _SESSIONS.c.id)
    same = kept.where(
        STEPS.c.step == _SESSIONS.c.next_step,
        STEPS.c.at == _SESSIONS.c.next_step_at,
        STEPS.c.provider.is_not_distinct_from(_SESSIONS.c.provider),
    )
    return case((_SESSIONS.c.next_step.is_(None), ~kept), else_=same)


def _found(
    sessions: Any, step: Step, when: ColumnElement[bool], same: ColumnElement[bool]
) -> ColumnElement[bool]:
    found = select(STEPS.c.session_id).where(STEPS.c.step == step, when)
    return and_(sessions.c.id.in_(found), sessions.c.next_step == step, same)


_PLACEMENTS = table_of("placements")


class DueWork:
    """Queries of due rows, inside one transaction; they claim nothing."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def providers(self, step: Step, among: Sequence[str], now: datetime) -> list[str]:
        """Return those of these providers that have a row due for `step`, in one statement; in the order given."""
        if not among:
            return []
        question = _question(tuple(among), of_sessions=step is Step.PING)
        found = self._connection.execute(question, {"step": step, "now": now}).one()
        return [provider for provider, is_due in zip(among, found, strict=True) if is_due]

    def providers_of_live_rows(self) -> set[str]:
        """Return the providers at which a session or a placement has a next step."""
        pending = select(_PLACEMENTS.c.provider).where(_PLACEMENTS.c.next_step.is_not(None))
        served = select(STEPS.c.provider).where(STEPS.c.provider.is_not(None))
        return {found for query in (served, pending) for found in self._connection.scalars(query.distinct())}


@lru_cache(maxsize=32)
def _question(providers: tuple[str, ...], *, of_sessions: bool) -> Select[Any]:
    """Build the query once: each tick, every second, runs it."""
    table, step, at = (
        (STEPS, STEPS.c.step, STEPS.c.at)
        if of_sessions
        else (_PLACEMENTS, _PLACEMENTS.c.next_step, _PLACEMENTS.c.next_step_at)
    )
    due = step == bindparam("step", type_=step.type), at <= bindparam("now", type_=at.type)
    columns: list[Any] = [
        exists().where(*due, table.c.provider == provider).label(f"due_{n}")
        for n, provider in enumerate(providers)
    ]
    return select(*columns)
