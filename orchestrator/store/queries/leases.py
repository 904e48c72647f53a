"""Leases of the platform's own upkeep: who ticks, who delivers events. On the store's clock, with a fence."""

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
        """Take or keep the lease; False where another holder has it. A new holder gets a higher fence."""
        self._make(name, now)
        until = now + timedelta(seconds=seconds)
        mine = update(LEASES).where(LEASES.c.name == name, LEASES.c.holder == holder)
        if self._connection.execute(mine.values(until=until, at=now)).rowcount:
            return True
        free = update(LEASES).where(LEASES.c.name == name, or_(LEASES.c.until <= now, LEASES.c.holder == ""))
        taken = free.values(holder=holder, until=until, at=now, fence=LEASES.c.fence + 1)
        return self._connection.execute(taken).rowcount == 1

    def give_back(self, name: str, holder: str) -> None:
        """Let the next one have it at once."""
        mine = update(LEASES).where(LEASES.c.name == name, LEASES.c.holder == holder)
        self._connection.execute(mine.values(holder=""))

    def last_seen(self, name: str) -> datetime | None:
        """Return when a holder of this lease last said that it is alive."""
        at: datetime | None = self._connection.execute(
            select(LEASES.c.at).where(LEASES.c.name == name)
        ).scalar()
        return at

    def _make(self, name: str, now: datetime) -> None:
        dialect = postgresql if self._connection.dialect.name == "postgresql" else sqlite
        statement = dialect.insert(LEASES).values(name=name, holder="", fence=0, until=now, at=now)
        self._connection.execute(statement.on_conflict_do_nothing(index_elements=["name"]))
