"""What is asked of an account's queue before somebody starts: one statement, however long it is."""

from collections.abc import Mapping

from sqlalchemy import ColumnElement, Connection, String, and_, cast, exists, or_, select, true

from orchestrator.rules.states import State
from orchestrator.rules.values import Session
from orchestrator.store.rows import table_of
from orchestrator.store.tables import ModelRow, SessionRow

_SESSIONS = table_of(SessionRow)
_MODELS = table_of(ModelRow)


class Queues:
    """Queries over queued sessions, inside one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def is_waited_for(
        self, session: Session, places: Mapping[str, int | None], *, ahead_of: Session | None = None
    ) -> bool:
        """Whether somebody else in this session's account waits for a provider that it would take.

        `places`: these providers, and the most nodes that each allows; None: any. Whoever waits for one certain
        key waits for no other. `ahead_of`: a queued session, of whom only those count that came before."""
        if not places:
            return False
        attached = _SESSIONS.c.attach.is_not(None)
        pinned = _SESSIONS.c.pinned_credential
        waits = exists().where(
            _SESSIONS.c.account_id == session.account_id,
            _SESSIONS.c.state == State.QUEUED,
            _SESSIONS.c.deleted_at.is_(None),
            _SESSIONS.c.queue_reason == "no_capacity",
            _SESSIONS.c.id != session.id,
            _MODELS.c.id == _SESSIONS.c.model_id,
            attached if session.attach is not None else ~attached,
            or_(pinned.is_(None), pinned == session.pinned_credential),
            or_(*(_served_at(provider, most) for provider, most in sorted(places.items()))),
            true() if ahead_of is None else _came_before(ahead_of),
        )
        return bool(self._connection.execute(select(waits)).scalar())


def _served_at(provider: str, most_nodes: int | None) -> ColumnElement[bool]:
    return and_(
        cast(_MODELS.c.providers, String).contains(f'"{provider}"', autoescape=True),
        or_(_SESSIONS.c.pinned_provider.is_(None), _SESSIONS.c.pinned_provider == provider),
        true() if most_nodes is None else _SESSIONS.c.nodes <= most_nodes,
    )


def _came_before(queued: Session) -> ColumnElement[bool]:
    return or_(
        _SESSIONS.c.queued_at < queued.queued_at,
        and_(_SESSIONS.c.queued_at == queued.queued_at, _SESSIONS.c.id < queued.id),
    )
