"""Which side a stopping session counts for: the user who closed it, or the platform that cannot prove the close."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, case, exists, literal, or_

from orchestrator.rules.states import State
from orchestrator.store.core.rows import table_of
from orchestrator.store.tables import PlacementRow, SessionRow

_SESSIONS = table_of(SessionRow)
_PLACEMENTS = table_of(PlacementRow)


def in_cleanup_debt(now: datetime, debts: Mapping[str | None, float]) -> ColumnElement[bool]:
    """Select sessions with closes that stayed unproven for too long: this is the platform's debt, not the user's. One
    close that may still be in time, beside an old one, keeps the whole session the user's."""
    since = {provider: now - timedelta(seconds=seconds) for provider, seconds in debts.items()}
    everywhere = since.pop(None)
    own = [(_PLACEMENTS.c.provider == name, at) for name, at in sorted(since.items()) if at != everywhere]
    limit = case(*own, else_=everywhere) if own else literal(everywhere, _PLACEMENTS.c.unproven_since.type)
    unended = and_(_PLACEMENTS.c.session_id == _SESSIONS.c.id, _PLACEMENTS.c.next_step.is_not(None))
    too_young = or_(_PLACEMENTS.c.unproven_since.is_(None), _PLACEMENTS.c.unproven_since >= limit)
    return and_(
        _SESSIONS.c.state == State.STOPPING,
        exists().where(unended, _PLACEMENTS.c.unproven_since < limit),
        ~exists().where(unended, too_young),
    )
