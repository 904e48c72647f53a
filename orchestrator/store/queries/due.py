"""Find out where anything is due, in one query before the claims, so that idle providers cost nothing."""

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Select, bindparam, exists, select

from orchestrator.rules.states import Step
from orchestrator.store.plain import table_of
from orchestrator.store.queries.next_steps import STEPS

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
