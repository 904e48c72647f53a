"""Statements for a batch of interactions: the same few, however many sessions and accounts it is about."""

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import Connection, select

from orchestrator.rules import events
from orchestrator.rules.values import Account, Session
from orchestrator.store.core import bulk
from orchestrator.store.core.rows import changes, columns_from, snapshots
from orchestrator.store.queries.accounts import ACCOUNTS
from orchestrator.store.queries.outbox import Outbox
from orchestrator.store.queries.sessions import SESSIONS
from orchestrator.store.queries.usage import Standing, standing_of


class Recordings:
    """Queries and changes for a batch, inside one transaction."""

    def __init__(self, connection: Connection, outbox: Outbox) -> None:
        self._connection = connection
        self._outbox = outbox

    def lock_free_accounts(self, account_ids: Collection[str]) -> Sequence[Account]:
        """Return those of the accounts that no other transaction holds, locked, in the order of their ids. It waits for
        none."""
        mine = bulk.among(self._connection, ACCOUNTS.c.id, account_ids)
        query = select(ACCOUNTS).where(mine).order_by(ACCOUNTS.c.id)
        rows = self._connection.execute(query.with_for_update(skip_locked=True))
        return snapshots(Account, rows)

    def standings(self, account_ids: Collection[str]) -> Mapping[str, Standing]:
        """Return the `Standing` of each account. Call it once their locks are held."""
        mine = bulk.among(self._connection, ACCOUNTS.c.id, account_ids)
        query = select(ACCOUNTS.c.id, *standing_of(ACCOUNTS.c.id)).where(mine)
        return {
            row.id: Standing(earliest_stop=row.earliest_stop, has_queued_sessions=row.has_queued_sessions)
            for row in self._connection.execute(query)
        }

    def save(self, changed: Sequence[tuple[Session, Session]]) -> None:
        """Write the changed fields of locked sessions, from (before, after) pairs, with their events. No state
        changes: for that, `Sessions.save` is the door."""
        differ = [changes(before, after) for before, after in changed]
        names = set[str]().union(*differ)
        assert "state" not in names
        if not names:
            return
        rows = [
            {
                **columns_from(after, names),
                "revision": before.revision + 1,
                bulk.ID: before.id,
                bulk.WAS: before.revision,
            }
            for before, after in changed
        ]
        written = bulk.update_rows(self._connection, SESSIONS, rows)
        assert written == len(rows)  # they are locked
        for before, after in changed:
            self._outbox.add(events.of_session(before, after))
