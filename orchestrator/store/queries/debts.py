"""Which side a stopping session counts for: the user who closed it, or the platform that cannot prove the close."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, case, exists, literal, or_

from orchestrator.rules.states import State
from orchestrator.store.plain import table_of

_SESSIONS = table_of("sessions")
_PLACEMENTS = table_of("placements")


def in_cleanup_debt(now: datetime, debts: Mapping[str | None, float]) -> ColumnElement[bool]:
    """Select sessions with closes that stayed unproven for too long: this is the platform's debt, not the user's. One
    close that may still be in time, beside an old one, keeps the whole session the user's."""
    return unproven_before(
        {
            provider: literal(now - timedelta(seconds=seconds), _PLACEMENTS.c.unproven_since.type)
            for provider, seconds in debts.items()
        }
    )


def unproven_before(limits: Mapping[str | None, ColumnElement[datetime]]) -> ColumnElement[bool]:
    """Select the same, with the instant by which a close must be unproven, by provider."""
    own = [(_PLACEMENTS.c.provider == name, limits[name]) for name in sorted(filter(None, limits))]
    limit = case(*own, else_=limits[None]) if own else limits[None]
    unended = and_(_PLACEMENTS.c.session_id == _SESSIONS.c.id, _PLACEMENTS.c.next_step.is_not(None))
    too_young = or_(_PLACEMENTS.c.unproven_since.is_(None), _PLACEMENTS.c.unproven_since >= limit)
    return and_(
        _SESSIONS.c.state == State.STOPPING,
        exists().where(unended, _PLACEMENTS.c.unproven_since < limit),
        ~exists().where(unended, too_young),
    )
