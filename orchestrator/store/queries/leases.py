"""Leases of the platform's own upkeep, such as the scheduler's ticks and the delivery of events. They use the store's
clock, and have a fence."""

from datetime import datetime, timedelta

from sqlalchemy import Connection, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from orchestrator.store.core.rows import table_of
from orchestrator.store.tables import LeaseRow

LEASES = table_of(LeaseRow)


class Leases:
    """Queries of leases, inside one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def hold(self, name: str, holder: str, now: datetime, seconds: float) -> bool:
        """Take or keep the lease. Return False if another holder has it. Each new holder gets a higher fence."""
        self._make(name, now)
        until = now + timedelta(seconds=seconds)
        mine = update(LEASES).where(LEASES.c.name == name, LEASES.c.holder == holder)
        if self._connection.execute(mine.values(until=until, at=now)).rowcount:
            return True
        free = update(LEASES).where(LEASES.c.name == name, or_(LEASES.c.until <= now, LEASES.c.holder == ""))
        taken = free.values(holder=holder, until=until, at=now, fence=LEASES.c.fence + 1)
        return self._connection.execute(taken).rowcount == 1

    def give_back(self, name: str, holder: str) -> None:
        """Give the lease back, so that the next holder can take it at once."""
        mine = update(LEASES).where(LEASES.c.name == name, LEASES.c.holder == holder)
        self._connection.execute(mine.values(holder=""))

    def last_seen(self, name: str) -> datetime | None:
        """Return when a holder last took or renewed this lease."""
        at: datetime | None = self._connection.execute(
            select(LEASES.c.at).where(LEASES.c.name == name)
        ).scalar()
        return at

    def _make(self, name: str, now: datetime) -> None:
        dialect = postgresql if self._connection.dialect.name == "postgresql" else sqlite
        statement = dialect.insert(LEASES).values(name=name, holder="", fence=0, until=now, at=now)
        self._connection.execute(statement.on_conflict_do_nothing(index_elements=["name"]))
