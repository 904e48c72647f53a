"""Named queries over contacts: which host reached which provider, and since when it has failed to."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, delete, func, or_, select
from sqlalchemy.dialects import postgresql, sqlite

from orchestrator.rules.upstream.network import Contact
from orchestrator.store.core.rows import snapshot
from orchestrator.store.plain import table_of

CONTACTS = table_of("contacts")


class Contacts:
    """Queries and changes, inside one transaction. Their locks come after all others."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def all(self) -> Sequence[Contact]:
        """Return every contact: a few rows."""
        query = select(CONTACTS).order_by(CONTACTS.c.host, CONTACTS.c.provider)
        return [snapshot(Contact, row) for row in self._connection.execute(query)]

    def note_reached(self, host: str, provider: str, now: datetime) -> None:
        """Save that the provider answered, which ends any failure before."""
        self._upsert(host, provider, reached_at=now, failing_since=None)

    def note_failed(self, host: str, provider: str, now: datetime) -> None:
        """Save that a ping failed there. The time of the first failure since the last answer is kept."""
        self._upsert(host, provider, failed_at=now, failing_since=now)

    def forget(self, before: datetime) -> int:
        """Delete contacts without any result since then; return how many."""
        reached, failed = CONTACTS.c.reached_at, CONTACTS.c.failed_at
        old = or_(reached.is_(None), reached < before), or_(failed.is_(None), failed < before)
        return self._connection.execute(delete(CONTACTS).where(*old)).rowcount

    def _upsert(self, host: str, provider: str, **seen: datetime | None) -> None:
        dialect = postgresql if self._connection.dialect.name == "postgresql" else sqlite
        statement = dialect.insert(CONTACTS).values(host=host, provider=provider, **seen)
        changes: dict[str, object] = dict(seen)
        if seen["failing_since"] is not None:
            changes["failing_since"] = func.coalesce(
                CONTACTS.c.failing_since, statement.excluded.failing_since
            )
        keys = [CONTACTS.c.host, CONTACTS.c.provider]
        self._connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=changes))
