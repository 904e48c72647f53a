"""Statements for a batch of interactions: the same few, however many sessions and accounts it is about."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Connection, Result, Select, select

from orchestrator.rules import events
from orchestrator.rules.values import Budget, Session, UsedSession
from orchestrator.rules.values.copies import replace
from orchestrator.store.core import bulk
from orchestrator.store.core.rows import changes, columns_from, columns_of, snapshots
from orchestrator.store.queries.accounts import ACCOUNTS
from orchestrator.store.queries.outbox import Outbox
from orchestrator.store.queries.sessions import SESSIONS
from orchestrator.store.queries.usage import standing_of


@dataclass(frozen=True, slots=True)
class FundsOfAccount:
    """What may end the funds of an account."""

    funds_end_at: datetime | None
    budgets: Sequence[Budget]


class Recordings:
    """Queries and changes for a batch, inside one transaction."""

    def __init__(self, connection: Connection, outbox: Outbox) -> None:
        self._connection = connection
        self._outbox = outbox

    def accounts_of(self, session_ids: Collection[str]) -> dict[str, str]:
        """Return session id → account id, for those that exist."""
        rows = self._rows(_accounts_of, session_ids)
        return {row.id: row.account_id for row in rows}

    def lock_free_accounts(self, account_ids: Collection[str]) -> Mapping[str, FundsOfAccount]:
        """Return what may end the funds of those of the accounts that no other transaction holds, locked, in the order
        of their ids. It waits for none."""
        rows = self._rows(_lock_free_accounts, account_ids)
        return {row.id: FundsOfAccount(row.funds_end_at, row.budgets) for row in rows}

    def earliest_stops(self, account_ids: Collection[str]) -> Mapping[str, datetime | None]:
        """Return the nearest deadline among each account's starting and running sessions. Call it once their locks are
        held."""
        return {row.id: row.earliest_stop for row in self._rows(_earliest_stops, account_ids)}

    def lock_sessions(self, session_ids: Collection[str]) -> Mapping[str, UsedSession]:
        """Return what the use of these sessions depends on, locked in the order of their ids."""
        locked = snapshots(UsedSession, self._rows(_lock_sessions, session_ids))
        return {session.id: session for session in locked}

    def save(self, changed: Sequence[tuple[UsedSession, UsedSession]]) -> None:
        """Write the changed fields of locked sessions, from (before, after) pairs, with their events. No state
        changes: for that, `Sessions.save` is the door."""
        differ = [changes(before, after) for before, after in changed]
        names = set[str]().union(*differ)
        assert "state" not in names
        if not names:
            return
        self._add_events([pair for pair in changed if events.concern_session(*pair)])
        rows = [
            {
                **(values if values.keys() == names else columns_from(after, names)),
                "revision": before.revision + 1,
                bulk.ID: before.id,
                bulk.WAS: before.revision,
            }
            for (before, after), values in zip(changed, differ, strict=True)
        ]
        written = bulk.update_rows(self._connection, SESSIONS, rows)
        assert written == len(rows)  # they are locked

    def _add_events(self, changed: Sequence[tuple[UsedSession, UsedSession]]) -> None:
        """Add the events of these sessions, which are not written yet. An event shows more of a session than its use
        depends on."""
        if not changed:
            return
        rows = self._rows(_whole, [before.id for before, _ in changed])
        whole = {session.id: session for session in snapshots(Session, rows)}
        for before, after in changed:
            fresh = {field.name: getattr(after, field.name) for field in fields(after)}
            self._outbox.add(events.of_session(whole[before.id], replace(whole[before.id], **fresh)))

    def _rows(self, query: Callable[[str], Select[Any]], ids: Collection[str]) -> Result[Any]:
        return self._connection.execute(query(self._connection.dialect.name), {bulk.IDS: list(ids)})


# Each is built once for a dialect: a batch takes longer to build the widest than to execute it.


@cache
def _accounts_of(dialect: str) -> Select[Any]:
    return select(SESSIONS.c.id, SESSIONS.c.account_id).where(bulk.among_given(dialect, SESSIONS.c.id))


@cache
def _lock_free_accounts(dialect: str) -> Select[Any]:
    columns = (ACCOUNTS.c.id, ACCOUNTS.c.funds_end_at, ACCOUNTS.c.budgets)
    query = select(*columns).where(bulk.among_given(dialect, ACCOUNTS.c.id))
    return query.order_by(ACCOUNTS.c.id).with_for_update(skip_locked=True)


@cache
def _earliest_stops(dialect: str) -> Select[Any]:
    earliest, _ = standing_of(ACCOUNTS.c.id)
    return select(ACCOUNTS.c.id, earliest).where(bulk.among_given(dialect, ACCOUNTS.c.id))


@cache
def _lock_sessions(dialect: str) -> Select[Any]:
    used = (SESSIONS.c[name] for name in columns_of(UsedSession))
    query = select(*used).where(bulk.among_given(dialect, SESSIONS.c.id))
    return query.order_by(SESSIONS.c.id).with_for_update()


@cache
def _whole(dialect: str) -> Select[Any]:
    return select(SESSIONS).where(bulk.among_given(dialect, SESSIONS.c.id))
