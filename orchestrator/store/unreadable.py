"""Rows that cannot be read: written by another release, or by a hand."""

from collections.abc import Iterator

from sqlalchemy import Connection, select
from sqlalchemy.exc import DataError, OperationalError, SQLAlchemyError

from orchestrator.store.audit import ACCOUNTS, LEDGER, OUTBOX, PLACEMENTS, SESSIONS

#: Where what belongs to a session, a placement or an account is found.
_PLACES = (
    (SESSIONS, "id"),
    (PLACEMENTS, "id"),
    (PLACEMENTS, "session_id"),
    (OUTBOX, "subject"),
    (ACCOUNTS, "id"),
    (LEDGER, "session_id"),
    (LEDGER, "account_id"),
)
#: Rows of each place that are looked at.
_MOST = 1000


def is_about_a_row(error: Exception) -> bool:
    """Is it what was read that failed, and not the database?"""
    if isinstance(error, OperationalError):  # SQLite reads JSON itself
        return "malformed JSON" in str(error.orig)
    return isinstance(error, DataError) or not isinstance(error, SQLAlchemyError)


def unreadable(connection: Connection, subject: str) -> Iterator[str]:
    """`table.column` of what cannot be read of this session, placement or account."""
    for table, key in _PLACES:
        for column in table.columns:
            try:
                connection.execute(select(column).where(table.c[key] == subject).limit(_MOST)).all()
            except Exception as error:
                if not is_about_a_row(error):
                    raise
                yield f"{table.name}.{column.name}"
