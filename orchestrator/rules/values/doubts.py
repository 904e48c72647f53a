"""Which sessions are in doubt. Events report them, and brakes count them, by a query (`store/queries/living.py`)."""

from datetime import datetime

from orchestrator.rules.values.used_sessions import Usable


def doubted_since(session: Usable) -> datetime | None:
    """Return since when the session is in doubt: since the first of its failed pings in a row, or a first GONE,
    whichever came first. None if it is not."""
    return min((at for at in (session.failing_since, session.gone_since) if at is not None), default=None)


def is_in_doubt(session: Usable) -> bool:
    """Return whether the session is in doubt."""
    return doubted_since(session) is not None
