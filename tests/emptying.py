"""Empty a database for the next test, including the append-only ledger and its archive."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, text

from orchestrator.store.tables import metadata
from orchestrator.store.tables.archive_triggers import ON_ARCHIVED_LEDGER, ON_LEDGER
from orchestrator.store.tables.money import APPEND_ONLY

_GUARDS = (*APPEND_ONLY, *ON_LEDGER, *ON_ARCHIVED_LEDGER)


@contextmanager
def unguarded(connection: Connection) -> Iterator[None]:
    """Allow changes of the ledger and its archive inside, in this transaction; on PostgreSQL until the end of it."""
    dialect = connection.dialect.name
    guards = [statement for kind, statement in _GUARDS if kind == dialect == "sqlite"]
    if dialect == "postgresql":
        connection.execute(text("SET LOCAL session_replication_role = replica"))
    for guard in guards:
        connection.execute(text(f"DROP TRIGGER {guard.split()[2]}"))
    yield
    for guard in guards:
        connection.execute(text(guard))


def empty(connection: Connection) -> None:
    """Delete every row of every table, in this transaction; the ledger is append-only again after it."""
    with unguarded(connection):
        for table in reversed(metadata.sorted_tables):
            connection.execute(table.delete())
        for counted in ("session_counts", "session_groups"):  # deleted sessions may have been counted again
            connection.execute(text(f"DELETE FROM {counted}"))
