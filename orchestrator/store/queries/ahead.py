"""Rows with times in the future, after the clock went back."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Column, ColumnElement, Connection, Table, func, or_, select, union, update

from orchestrator.rules.installation.correction import PAST_OF_ACCOUNT, PAST_OF_PLACEMENT
from orchestrator.rules.states import State
from orchestrator.store.core.columns import UtcDateTime
from orchestrator.store.plain import all_tables, table_of

SESSIONS, PLACEMENTS, ACCOUNTS = table_of("sessions"), table_of("placements"), table_of("accounts")
#: Tables left out: records of the past stay as they are or are corrected row by row; the clock's own row is right;
#: tokens expire at dates that people chose; `next_steps` follows its sessions and placements by triggers.
_LEFT = frozenset(
    {
        "sessions",
        "placements",
        "accounts",
        "ledger",
        "archived_sessions",
        "archived_ledger",
        "inbox",
        "outbox",
        "clock",
        "minutes",
        "tokens",
        "next_steps",
    }
)
#: Columns with the instant up to which a row waits; all others say when something happened.
_AWAITED = frozenset({"until", "resting_until", "cool_until", "lease_until", "retry_at", "next_at"})
#: The time of an event, which is sent unchanged.
_OF_EVENTS = "time"
_ENDING = (State.STARTING, State.RUNNING, State.QUEUED, State.STOPPING)


class Ahead:
    """Queries of a correction, inside one transaction. They scan: a correction is rare."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def accounts(self, now: datetime) -> Sequence[str]:
        """Return accounts with a time in the future, and those with a session that is live or has such a time."""
        going_on = select(SESSIONS.c.account_id).where(SESSIONS.c.state.in_(_ENDING))
        ahead = select(SESSIONS.c.account_id).where(_lies_ahead(now))
        own = select(ACCOUNTS.c.id).where(or_(*(ACCOUNTS.c[name] > now for name in PAST_OF_ACCOUNT)))
        found = self._connection.execute(union(going_on, ahead, own)).scalars()
        return sorted(found)

    def sessions(self, account_id: str, now: datetime) -> Sequence[str]:
        """Return this account's sessions that are live or have a time in the future."""
        of_kind = or_(SESSIONS.c.state.in_(_ENDING), _lies_ahead(now))
        query = select(SESSIONS.c.id).where(SESSIONS.c.account_id == account_id, of_kind)
        return list(self._connection.execute(query.order_by(SESSIONS.c.id)).scalars())

    def decided_at(self, session_id: str, now: datetime) -> datetime | None:
        """Return when a clock that was ahead decided the session's stop: the earliest `closing_since` in the future
        among its placements."""
        wanted = (PLACEMENTS.c.session_id == session_id, PLACEMENTS.c.closing_since > now)
        return self._connection.execute(select(func.min(PLACEMENTS.c.closing_since)).where(*wanted)).scalar()

    def lies_ahead(self, session_id: str, now: datetime) -> bool:
        """Return whether the session still has a time in the future."""
        query = select(SESSIONS.c.id).where(SESSIONS.c.id == session_id, _lies_ahead(now))
        return self._connection.execute(query).first() is not None

    def placements(self, now: datetime, furthest: datetime) -> Sequence[str]:
        """Return placements with a past event in the future, and those with a step or a lease later than `furthest`."""
        happened = [PLACEMENTS.c[name] > now for name in PAST_OF_PLACEMENT]
        awaited = [PLACEMENTS.c.next_step_at > furthest, PLACEMENTS.c.lease_until > furthest]
        query = select(PLACEMENTS.c.id).where(or_(*happened, *awaited))
        return list(self._connection.execute(query.order_by(PLACEMENTS.c.id)).scalars())

    def correct_upkeep(self, shift: timedelta, now: datetime) -> None:
        """Correct every instant in the platform's own upkeep: leases, pauses, brakes, alarms and the like."""
        for table in all_tables():
            if table.name in _LEFT:
                continue
            for column in table.columns:
                if isinstance(column.type, UtcDateTime) and column.name != _OF_EVENTS:
                    self._correct(table, column, shift if column.name in _AWAITED else None, now)

    def _correct(
        self, table: Table, column: "Column[datetime]", shift: timedelta | None, now: datetime
    ) -> None:
        ahead = update(table).where(column > now)
        if shift is None:
            self._connection.execute(ahead.values({column.name: now}))
            return
        for at in self._connection.execute(select(column).where(column > now).distinct()).scalars():
            self._connection.execute(
                update(table).where(column == at).values({column.name: max(now, at - shift)})
            )


def _lies_ahead(now: datetime) -> ColumnElement[bool]:
    """Return whether a session that may be at rest has a time in the future. Its stop may have been decided too early
    and lie in the past, while its end does not."""
    columns = (SESSIONS.c.stopped_at, SESSIONS.c.ended_at, SESSIONS.c.created_at, SESSIONS.c.deleted_at)
    return or_(*(column > now for column in columns))
