"""Named queries over resources that may still cost money without a session: orphans, and forced closes."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection, exists, func, select, text

from orchestrator.rules.states import State
from orchestrator.rules.values import Placement
from orchestrator.store.core.conditions import UNTOLD
from orchestrator.store.core.rows import snapshot
from orchestrator.store.plain import table_of
from orchestrator.store.queries.living import PENDING

PLACEMENTS = table_of("placements")
_SESSIONS = table_of("sessions")
#: The longest session that can be asked for. What an older open may have left has ended by itself.
_LONGEST = timedelta(days=30)
#: How much later, or longer, than asked for a platform may open a session with a lost answer.
_LATE = timedelta(hours=1)


class Leftovers:
    """Queries of placements for reports, inside one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def lock_orphan(self, placement_id: str) -> Placement | None:
        """Return the orphan under this id, locked; None if there is none, or it belongs to a session."""
        query = select(PLACEMENTS).where(PLACEMENTS.c.id == placement_id, PLACEMENTS.c.session_id.is_(None))
        row = self._connection.execute(query.with_for_update()).first()
        return snapshot(Placement, row) if row else None

    def orphans(self) -> Sequence[Placement]:
        """Return every orphan that is not closed, oldest first."""
        query = (
            select(PLACEMENTS)
            .where(PENDING, PLACEMENTS.c.session_id.is_(None))
            .order_by(PLACEMENTS.c.created_at)
        )
        return [snapshot(Placement, row) for row in self._connection.execute(query)]

    def forced(
        self, limit: int, *, account_id: str | None = None, states: Collection[State] = ()
    ) -> Sequence[Placement]:
        """Return placements that were ended without the provider's proof, newest first; they are never deleted.
        `states`: of their sessions."""
        query = select(PLACEMENTS).where(PLACEMENTS.c.forced_at.is_not(None))
        if account_id is not None:
            query = query.where(PLACEMENTS.c.account_id == account_id)
        if states:
            mine = _SESSIONS.c.id == PLACEMENTS.c.session_id
            query = query.where(exists().where(mine, _SESSIONS.c.state.in_(states)))
        query = query.order_by(PLACEMENTS.c.forced_at.desc(), PLACEMENTS.c.id).limit(limit)
        return [snapshot(Placement, row) for row in self._connection.execute(query)]

    def count_forced(self) -> int:
        """Return how many such placements there are."""
        query = select(func.count()).select_from(PLACEMENTS).where(PLACEMENTS.c.forced_at.is_not(None))
        return int(self._connection.execute(query).scalar_one())

    def possible_orphans(self, now: datetime, limit: int = 100) -> Sequence[Placement]:
        """Return opens that may have left more at the provider than we know of, until the time that was asked for is
        over."""
        query = (
            select(PLACEMENTS)
            .where(text("possible_orphans"), PLACEMENTS.c.sent_at > now - _LONGEST)
            .order_by(PLACEMENTS.c.sent_at.desc())
            .limit(limit)
        )
        found = [snapshot(Placement, row) for row in self._connection.execute(query)]
        return [one for one in found if one.sent_at and one.sent_at + _lasts(one) > now]

    def may_be_ours(self, opened: Placement, handle: str, now: datetime) -> bool:
        """Return whether the session that the key had before the open of `opened` may be ours: its handle is known
        here, or an earlier open under the key never learned its handle and what it asked for may still run."""
        for named in (PLACEMENTS.c.handle == handle, PLACEMENTS.c.candidate == handle):  # each has an index
            if self._connection.execute(select(exists().where(named))).scalar():
                return True
        query = select(PLACEMENTS).where(
            PLACEMENTS.c.provider == opened.provider,
            PLACEMENTS.c.credential == opened.credential,
            PLACEMENTS.c.id != opened.id,
            PLACEMENTS.c.sent_at > now - _LONGEST,
            text(f"({UNTOLD})"),
        )
        lost = [snapshot(Placement, row) for row in self._connection.execute(query)]
        return any(one.sent_at and one.sent_at + _lasts(one) + _LATE > now for one in lost)


def _lasts(placement: Placement) -> timedelta:
    return timedelta(seconds=placement.duration_seconds)
