"""Empty a database for the next test, the ledger too, which nobody else can."""

from sqlalchemy import Connection, text

from orchestrator.store.tables import metadata
from orchestrator.store.tables.money import APPEND_ONLY


def empty(connection: Connection) -> None:
    """Delete every row of every table, in this transaction; the ledger is append-only again after it."""
    dialect = connection.dialect.name
    guards = [statement for kind, statement in APPEND_ONLY if kind == dialect == "sqlite"]
    if dialect == "postgresql":
        connection.execute(text("SET LOCAL session_replication_role = replica"))
    for guard in guards:
        connection.execute(text(f"DROP TRIGGER {guard.split()[2]}"))
    for table in reversed(metadata.sorted_tables):
        connection.execute(table.delete())
    connection.execute(text("DELETE FROM session_counts"))  # sessions that went may have been counted again
    for guard in guards:
        connection.execute(text(guard))
