"""Named queries over the processes of the platform."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from orchestrator.rules.values import Worker
from orchestrator.store.core.rows import snapshot, values_of
from orchestrator.store.plain import table_of

WORKERS = table_of("workers")


class Workers:
    """Queries and changes, inside one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def report(self, worker: Worker) -> None:
        """Write the row of this process, or create it."""
        dialect = postgresql if self._connection.dialect.name == "postgresql" else sqlite
        values = values_of(worker)
        statement = dialect.insert(WORKERS).values(**values)
        again = {name: value for name, value in values.items() if name not in ("id", "started_at")}
        self._connection.execute(statement.on_conflict_do_update(index_elements=["id"], set_=again))

    def leave(self, worker_id: str) -> None:
        """Delete the row of a process that ends in order."""
        self._connection.execute(delete(WORKERS).where(WORKERS.c.id == worker_id))

    def listed(self, since: datetime | None = None) -> Sequence[Worker]:
        """Return every process that has reported since then, or every known one, by kind, host and start."""
        query = select(WORKERS).order_by(WORKERS.c.kind, WORKERS.c.host, WORKERS.c.started_at, WORKERS.c.id)
        if since is not None:
            query = query.where(WORKERS.c.seen_at >= since)
        return [snapshot(Worker, row) for row in self._connection.execute(query)]

    def forget_before(self, at: datetime) -> int:
        """Delete the rows of processes that have not reported since then; return how many."""
        return self._connection.execute(delete(WORKERS).where(WORKERS.c.seen_at < at)).rowcount
