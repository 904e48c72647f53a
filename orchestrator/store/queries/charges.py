"""Named queries of the hourly posting: an account's running sessions, page by page, in the order of their ids."""

from collections.abc import Sequence

from sqlalchemy import Connection, bindparam, select, update

from orchestrator.rules import events
from orchestrator.rules.values import Session
from orchestrator.store.core.rows import snapshot
from orchestrator.store.plain import table_of
from orchestrator.store.queries.living import RUNS, STARTS_OR_RUNS
from orchestrator.store.queries.outbox import Outbox

_SESSIONS = table_of("sessions")
_CHARGE = update(_SESSIONS).where(_SESSIONS.c.id == bindparam("its_id"))


class Charges:
    """Queries and changes of running sessions, inside one transaction, under their account's lock."""

    def __init__(self, connection: Connection, outbox: Outbox) -> None:
        self._connection = connection
        self._outbox = outbox

    def lock_running(self, account_id: str, after: str, limit: int) -> Sequence[Session]:
        """Return the next running sessions of an account after this id, locked."""
        query = select(_SESSIONS).where(_SESSIONS.c.account_id == account_id, STARTS_OR_RUNS, RUNS)
        page = query.where(_SESSIONS.c.id > after).order_by(_SESSIONS.c.id).limit(limit)
        return [snapshot(Session, row) for row in self._connection.execute(page.with_for_update())]

    def save(self, charged: Sequence[tuple[Session, Session]]) -> None:
        """Write what was charged, from (before, after) pairs; the rows are locked."""
        if not charged:
            return
        rows = [
            {
                "its_id": before.id,
                "revision": before.revision + 1,
                "charged": after.charged,
                "charges": after.charges,
            }
            for before, after in charged
        ]
        self._connection.execute(_CHARGE, rows)
        for before, after in charged:
            self._outbox.add(events.of_session(before, after))
