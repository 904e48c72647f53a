"""Leases of the platform's own upkeep, such as the scheduler's ticks and the delivery of events. They use the store's
clock, and have a fence."""

from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

from sqlalchemy import Connection, bindparam, case, literal_column, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from orchestrator.store.plain import table_of

LEASES = table_of("leases")


def _hold(dialect: Any) -> Any:
    """Return the statement that takes or keeps a lease; built once."""
    values = {
        "name": bindparam("lease", type_=LEASES.c.name.type),
        "holder": bindparam("wanted_by", type_=LEASES.c.holder.type),
        "fence": literal_column("1"),
        "until": bindparam("to", type_=LEASES.c.until.type),
        "at": bindparam("from", type_=LEASES.c.at.type),
    }
    new = dialect.insert(LEASES).values(values)
    is_mine = LEASES.c.holder == new.excluded.holder
    is_free = or_(LEASES.c.until <= new.excluded.at, LEASES.c.holder == "")
    taken = new.on_conflict_do_update(
        index_elements=["name"],
        set_={
            "holder": new.excluded.holder,
            "fence": LEASES.c.fence + case((is_mine, 0), else_=1),
            "until": new.excluded.until,
            "at": new.excluded.at,
        },
        where=or_(is_mine, is_free),
    )
    return taken.returning(LEASES.c.name)  # psycopg reports no row count of an insert


_HOLD = MappingProxyType({"postgresql": _hold(postgresql), "sqlite": _hold(sqlite)})


class Leases:
    """Queries of leases, inside one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def hold(self, name: str, holder: str, now: datetime, seconds: float) -> bool:
        """Take or keep the lease, in one statement. Return False if another holder has it. Each new holder gets a
        higher fence."""
        until = now + timedelta(seconds=seconds)
        wanted = {"lease": name, "wanted_by": holder, "from": now, "to": until}
        return self._connection.execute(_HOLD[self._connection.dialect.name], wanted).first() is not None

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
