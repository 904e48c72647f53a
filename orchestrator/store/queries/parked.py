"""Named queries over parked messages."""

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import Connection, delete, func, select
from sqlalchemy.dialects import postgresql, sqlite

from orchestrator.rules.installation.messages import ParkedMessage
from orchestrator.store.core.rows import snapshot, values_of
from orchestrator.store.plain import table_of

PARKED = table_of("parked_messages")


class Parked:
    """Queries and changes of parked messages, inside one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, messages: Sequence[ParkedMessage]) -> None:
        """Save these; a message that is saved already stays as it is."""
        dialect = postgresql if self._connection.dialect.name == "postgresql" else sqlite
        statement = dialect.insert(PARKED).on_conflict_do_nothing(index_elements=["id"])
        self._connection.execute(statement, [values_of(message) for message in messages])

    def keep_newest(self, most: int) -> int:
        """Delete the oldest beyond `most`; return how many."""
        newest_first = select(PARKED.c.id).order_by(PARKED.c.parked_at.desc(), PARKED.c.id.desc())
        surplus = list(self._connection.execute(newest_first.offset(most)).scalars())
        self.drop(surplus)
        return len(surplus)

    def listed(self, limit: int) -> Sequence[ParkedMessage]:
        """Return the newest messages, newest first."""
        query = select(PARKED).order_by(PARKED.c.parked_at.desc(), PARKED.c.id.desc()).limit(limit)
        return [snapshot(ParkedMessage, row) for row in self._connection.execute(query)]

    def found(self, ids: Collection[str]) -> Sequence[ParkedMessage]:
        """Return those of these that are saved, oldest first."""
        query = select(PARKED).where(PARKED.c.id.in_(sorted(ids))).order_by(PARKED.c.parked_at, PARKED.c.id)
        return [snapshot(ParkedMessage, row) for row in self._connection.execute(query)]

    def counts(self) -> Mapping[str, int]:
        """Return how many are saved, by queue; queues without any are left out."""
        query = select(PARKED.c.queue, func.count()).group_by(PARKED.c.queue)
        return {row[0]: row[1] for row in self._connection.execute(query)}

    def drop(self, ids: Collection[str]) -> None:
        """Delete these."""
        if ids:
            self._connection.execute(delete(PARKED).where(PARKED.c.id.in_(sorted(ids))))
