"""What pings show of a paused key: a condition for queries over credentials."""

from sqlalchemy import ColumnElement, and_, exists

from orchestrator.rules.values import Verdict
from orchestrator.store.plain import table_of
from orchestrator.store.queries.living import SERVED

_CREDENTIALS = table_of("credentials")
_PLACEMENTS = table_of("placements")
_SESSIONS = table_of("sessions")


def is_still_refused() -> ColumnElement[bool]:
    """Select paused keys that a session still proves refused: the newest ping of a session that uses the key was
    refused, and none was alive since the pause. Other uses of the key prove nothing."""
    refused = exists().where(
        _uses_it(),
        _SESSIONS.c.last_verdict == Verdict.CREDENTIALS,
        _SESSIONS.c.last_ping_at >= _CREDENTIALS.c.paused_since,
        _PLACEMENTS.c.session_id == _SESSIONS.c.id,
        _PLACEMENTS.c.n == _SESSIONS.c.placements,
        _PLACEMENTS.c.secret_ref == _CREDENTIALS.c.ref,
    )
    return and_(refused, ~exists().where(_uses_it(), _SESSIONS.c.last_alive_at > _CREDENTIALS.c.paused_since))


def _uses_it() -> ColumnElement[bool]:
    return and_(
        _SESSIONS.c.provider == _CREDENTIALS.c.provider,
        _SESSIONS.c.credential == _CREDENTIALS.c.ref,
        SERVED,
    )
