"""Lists page by page: each page begins behind a row, so that new rows move nothing."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, exists, func, or_, select, union_all

from orchestrator.rules.states import State
from orchestrator.rules.values import Account, Model, ModelSource, Session
from orchestrator.store.core.rows import snapshot
from orchestrator.store.plain import table_of
from orchestrator.store.queries.living import UNENDED
from orchestrator.store.queries.lookups import begins, id_begins

SESSIONS, ACCOUNTS, MODELS = table_of("sessions"), table_of("accounts"), table_of("models")
_PLACEMENTS = table_of("placements")
#: How many sessions of each state one page reads for a filter that no index serves.
LOOKED_AT = 5_000


@dataclass(frozen=True, slots=True)
class Behind:
    """The row behind which a page begins."""

    at: datetime
    id: str


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionFilter:
    """Which sessions are listed. None, or no state: any."""

    states: Collection[State] = ()
    account_id: str | None = None
    provider: str | None = None
    model_id: str | None = None
    name: str | None = None
    begins: str | None = None
    """How its name or its id begins."""
    unproven: bool = False
    since: datetime | None = None

    @property
    def is_indexed(self) -> bool:
        """Whether indexes find the rows: those of the states, of the account, and of its names."""
        by_name = self.name is not None and self.account_id is not None
        others = (self.provider, self.model_id, self.name, self.begins)
        return by_name or others == (None, None, None, None)


@dataclass(frozen=True, slots=True)
class SessionPage:
    """One page of sessions, newest first."""

    sessions: Sequence[Session]
    behind: Behind | None
    """Where the next page begins; None: this is the last."""


class Pages:
    """Queries of lists, inside one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def sessions(
        self, wanted: SessionFilter, limit: int, behind: Behind | None = None, *, look_at: int = LOOKED_AT
    ) -> SessionPage:
        """Return the newest sessions that are not deleted and come behind this row. A filter that no index serves looks
        at the newest `look_at` of each state: then a page may hold fewer than `limit`, and others follow."""
        horizon = None if wanted.is_indexed else self._horizon(wanted, behind, look_at)
        newest = union_all(
            *(_of_state(state, wanted, limit + 1, behind, horizon) for state in _states(wanted))
        )
        ids = newest.subquery()
        query = select(SESSIONS).join(ids, ids.c.id == SESSIONS.c.id)
        rows = self._connection.execute(query.order_by(*_NEWEST_FIRST).limit(limit + 1)).all()
        found = [snapshot(Session, row) for row in rows[:limit]]
        if len(rows) > limit:
            return SessionPage(found, Behind(found[-1].created_at, found[-1].id))
        return SessionPage(found, horizon)

    def count_sessions(self, wanted: SessionFilter) -> int:
        """Return how many sessions there are that are not deleted and as wanted: it reads each of them."""
        each = (select(_of_each(state, wanted).subquery().c.n) for state in _states(wanted))
        return sum(self._connection.execute(union_all(*each)).scalars())

    def ids_beginning(self, text: str, limit: int, account_id: str | None = None) -> Sequence[str]:
        """Return ids of sessions that begin so, by the index of ids: deleted ones too."""
        mine = [id_begins(SESSIONS.c.id, text)]
        if account_id is not None:
            mine.append(SESSIONS.c.account_id == account_id)
        query = select(SESSIONS.c.id).where(*mine).order_by(SESSIONS.c.id).limit(limit)
        return list(self._connection.execute(query).scalars())

    def queue(
        self, limit: int, behind: Behind | None = None, account_id: str | None = None
    ) -> tuple[Sequence[Session], Behind | None]:
        """Return the queued sessions, oldest first, and where the next page begins."""
        mine = [SESSIONS.c.state == State.QUEUED, SESSIONS.c.deleted_at.is_(None)]
        if account_id is not None:
            mine.append(SESSIONS.c.account_id == account_id)
        if behind is not None:
            later = and_(SESSIONS.c.created_at == behind.at, SESSIONS.c.id > behind.id)
            mine += [SESSIONS.c.created_at >= behind.at, or_(SESSIONS.c.created_at > behind.at, later)]
        query = select(SESSIONS).where(*mine).order_by(SESSIONS.c.created_at, SESSIONS.c.id)
        rows = self._connection.execute(query.limit(limit + 1)).all()
        found = [snapshot(Session, row) for row in rows[:limit]]
        more = len(rows) > limit
        return found, Behind(found[-1].created_at, found[-1].id) if more else None

    def accounts(self, limit: int, behind: str = "") -> Sequence[Account]:
        """Return the accounts behind this id, by id."""
        query = select(ACCOUNTS).where(ACCOUNTS.c.id > behind).order_by(ACCOUNTS.c.id).limit(limit)
        return [snapshot(Account, row) for row in self._connection.execute(query)]

    def models(self, limit: int, behind: str = "", owner: str | None = None) -> Sequence[Model]:
        """Return the models behind this id, by id. `owner`: leave out private models of others."""
        query = select(MODELS).where(MODELS.c.id > behind)
        if owner is not None:
            query = query.where(or_(MODELS.c.source != ModelSource.PRIVATE, MODELS.c.owner == owner))
        rows = self._connection.execute(query.order_by(MODELS.c.id).limit(limit))
        return [snapshot(Model, row) for row in rows]

    def _horizon(self, wanted: SessionFilter, behind: Behind | None, look_at: int) -> Behind | None:
        """Return the oldest row down to which every state was read; None: down to the last."""
        lasts = union_all(*(_last_of(state, wanted, behind, look_at) for state in _states(wanted)))
        rows = self._connection.execute(lasts).all()
        found = [Behind(row.created_at, row.id) for row in rows]
        return max(found, key=lambda one: (one.at, one.id), default=None)


_NEWEST_FIRST = (SESSIONS.c.created_at.desc(), SESSIONS.c.id.desc())


def _states(wanted: SessionFilter) -> Sequence[State]:
    """Return the states to read, each by itself, so that an index gives it in order."""
    possible = [State.STOPPING] if wanted.unproven else list(State)
    return [state for state in possible if not wanted.states or state in wanted.states] or possible[:1]


def _of_state(
    state: State, wanted: SessionFilter, limit: int, behind: Behind | None, horizon: Behind | None
) -> Select[Any]:
    where = [*_in_order(state, wanted, behind), *_filters(state, wanted)]
    if horizon is not None:
        same = and_(SESSIONS.c.created_at == horizon.at, SESSIONS.c.id >= horizon.id)
        where += [SESSIONS.c.created_at >= horizon.at, or_(SESSIONS.c.created_at > horizon.at, same)]
    query = select(SESSIONS.c.id).where(*where).order_by(*_NEWEST_FIRST).limit(limit)
    return select(query.subquery())


def _of_each(state: State, wanted: SessionFilter) -> Select[Any]:
    where = [*_in_order(state, wanted, None), *_filters(state, wanted)]
    return select(func.count().label("n")).select_from(SESSIONS).where(*where)


def _last_of(state: State, wanted: SessionFilter, behind: Behind | None, look_at: int) -> Select[Any]:
    query = select(SESSIONS.c.created_at, SESSIONS.c.id).where(*_in_order(state, wanted, behind))
    return select(query.order_by(*_NEWEST_FIRST).offset(look_at - 1).limit(1).subquery())


def _in_order(state: State, wanted: SessionFilter, behind: Behind | None) -> list[ColumnElement[bool]]:
    """Return the conditions that an index of one state, or of one account's, answers in order."""
    where = [SESSIONS.c.state == state, SESSIONS.c.deleted_at.is_(None)]
    if wanted.account_id is not None:
        where.append(SESSIONS.c.account_id == wanted.account_id)
    if wanted.since is not None:
        where.append(SESSIONS.c.created_at >= wanted.since)
    if behind is not None:
        older = and_(SESSIONS.c.created_at == behind.at, SESSIONS.c.id < behind.id)
        where += [SESSIONS.c.created_at <= behind.at, or_(SESSIONS.c.created_at < behind.at, older)]
    return where


def _filters(state: State, wanted: SessionFilter) -> list[ColumnElement[bool]]:
    where: list[ColumnElement[bool]] = []
    if wanted.states and state not in wanted.states:  # nothing can be both
        where.append(SESSIONS.c.state != state)
    for column, value in (
        (SESSIONS.c.provider, wanted.provider),
        (SESSIONS.c.model_id, wanted.model_id),
        (SESSIONS.c.name, wanted.name),
    ):
        if value is not None:
            where.append(column == value)
    if wanted.begins is not None:
        where.append(or_(begins(SESSIONS.c.name, wanted.begins), begins(SESSIONS.c.id, wanted.begins)))
    if wanted.unproven:
        mine = _PLACEMENTS.c.session_id == SESSIONS.c.id
        where.append(exists().where(mine, UNENDED, _PLACEMENTS.c.unproven_since.is_not(None)))
    return where
