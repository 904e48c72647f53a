"""Sessions and events of the last days, for reports that look back. They are read page by page."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, or_, select

from orchestrator.rules.states import State
from orchestrator.rules.values import Account, Session
from orchestrator.store.core.bulk import among
from orchestrator.store.core.rows import snapshot
from orchestrator.store.plain import table_of

SESSIONS, ACCOUNTS, OUTBOX = table_of("sessions"), table_of("accounts"), table_of("outbox")
_PAGE = 2_000


@dataclass(frozen=True, slots=True)
class RecentEvent:
    """An event, as it was sent."""

    type: str
    subject: str
    time: datetime
    data: Any


class Recent:
    """Queries that look back, inside one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def events(self, since: datetime, most: int) -> Iterator[RecentEvent]:
        """Yield events since then, newest first, up to `most`."""
        place, left = None, most
        while left > 0:
            page = self._events_before(place, min(_PAGE, left))
            for row in page:
                if row.time < since:
                    return
                yield RecentEvent(row.type, row.subject, row.time, row.data)
            if len(page) < min(_PAGE, left):
                return
            place, left = page[-1].seq, left - len(page)

    def living(
        self, states: Collection[State], most: int, account_id: str | None = None
    ) -> Sequence[Session]:
        """Return the newest sessions of each of these states, up to `most` each."""
        return [session for state in states for session in self._pages(_in_state(state, account_id), most)]

    def ended(self, since: datetime, most: int, account_id: str | None = None) -> Sequence[Session]:
        """Return the sessions that have ended since then, deleted ones too, newest first."""
        mine = [SESSIONS.c.ended_at.is_not(None), SESSIONS.c.ended_at >= since]
        if account_id is not None:
            mine.append(SESSIONS.c.account_id == account_id)
        query = select(SESSIONS).where(*mine).order_by(SESSIONS.c.ended_at.desc()).limit(most)
        return [snapshot(Session, row) for row in self._connection.execute(query)]

    def accounts(self, account_ids: Collection[str]) -> dict[str, Account]:
        """Return these accounts by id."""
        query = select(ACCOUNTS).where(among(self._connection, ACCOUNTS.c.id, account_ids))
        return {row.id: snapshot(Account, row) for row in self._connection.execute(query)}

    def _events_before(self, place: int | None, limit: int) -> Sequence[Any]:
        columns = OUTBOX.c.seq, OUTBOX.c.type, OUTBOX.c.subject, OUTBOX.c.time, OUTBOX.c.data
        query = select(*columns).order_by(OUTBOX.c.seq.desc()).limit(limit)
        return self._connection.execute(query if place is None else query.where(OUTBOX.c.seq < place)).all()

    def _pages(self, query: Select[Any], most: int) -> Iterator[Session]:
        behind: Session | None = None
        left = most
        while left > 0:
            page = query if behind is None else query.where(_older(behind))
            rows = self._connection.execute(page.limit(min(_PAGE, left))).all()
            found = [snapshot(Session, row) for row in rows]
            yield from found
            if len(found) < min(_PAGE, left):
                return
            behind, left = found[-1], left - len(found)


def _in_state(state: State, account_id: str | None) -> Select[Any]:
    query = select(SESSIONS).where(SESSIONS.c.state == state, SESSIONS.c.deleted_at.is_(None))
    if account_id is not None:
        query = query.where(SESSIONS.c.account_id == account_id)
    return query.order_by(SESSIONS.c.created_at.desc(), SESSIONS.c.id.desc())


def _older(than: Session) -> ColumnElement[bool]:
    same = and_(SESSIONS.c.created_at == than.created_at, SESSIONS.c.id < than.id)
    return and_(SESSIONS.c.created_at <= than.created_at, or_(SESSIONS.c.created_at < than.created_at, same))
