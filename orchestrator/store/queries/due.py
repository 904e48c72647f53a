"""Find out where anything is due, in one query before the claims, so that idle providers cost nothing."""

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Select, Table, bindparam, exists, select

from orchestrator.rules.states import Step
from orchestrator.store.core.rows import table_of
from orchestrator.store.tables import PlacementRow, SessionRow

_SESSIONS = table_of(SessionRow)
_PLACEMENTS = table_of(PlacementRow)


class Due:
    """Queries of due rows, inside one transaction; they claim nothing."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def providers(self, step: Step, among: Sequence[str], now: datetime) -> list[str]:
        """Return those of these providers that have a row due for `step`, in one statement; in the order given."""
        if not among:
            return []
        table = _SESSIONS if step is Step.PING else _PLACEMENTS
        found = self._connection.execute(_question(table, tuple(among)), {"step": step, "now": now}).one()
        return [provider for provider, is_due in zip(among, found, strict=True) if is_due]

    def providers_of_live_rows(self) -> set[str]:
        """Return the providers at which a session or a placement has a next step."""
        found: set[str] = set()
        for table in (_SESSIONS, _PLACEMENTS):
            query = select(table.c.provider).where(
                table.c.next_step.is_not(None), table.c.provider.is_not(None)
            )
            found.update(self._connection.execute(query.distinct()).scalars())
        return found


@lru_cache(maxsize=32)
def _question(table: Table, providers: tuple[str, ...]) -> Select[Any]:
    """Build the query once: each tick, every second, runs it."""
    step = bindparam("step", type_=table.c.next_step.type)
    now = bindparam("now", type_=table.c.next_step_at.type)
    due = table.c.next_step == step, table.c.next_step_at <= now
    columns: list[Any] = [
        exists().where(*due, table.c.provider == provider).label(f"due_{n}")
        for n, provider in enumerate(providers)
    ]
    return select(*columns)
