"""Named queries over waits: who said to wait, the provider as a whole or under one key."""

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, and_, exists, select
from sqlalchemy.dialects import postgresql, sqlite

from orchestrator.store.rows import table_of
from orchestrator.store.tables import CredentialRow, WaitRow

CREDENTIALS = table_of(CredentialRow)
WAITS = table_of(WaitRow)


class Waits:
    """Of providers without credentials, inside one transaction. Their locks come after all others."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def hold(self, provider: str, until: datetime) -> None:
        """The provider said to wait; a longer wait that stands already stays."""
        dialect = postgresql if self._connection.dialect.name == "postgresql" else sqlite
        statement = dialect.insert(WAITS).values(provider=provider, until=until)
        longer = statement.excluded.until > WAITS.c.until
        self._connection.execute(
            statement.on_conflict_do_update(index_elements=["provider"], set_={"until": until}, where=longer)
        )

    def holding(self, now: datetime) -> Mapping[str, datetime]:
        """The providers that are to be left alone now, and until when."""
        query = select(WAITS.c.provider, WAITS.c.until).where(WAITS.c.until > now)
        return {row.provider: row.until for row in self._connection.execute(query)}


def may_be_asked(
    provider: ColumnElement[str], ref: ColumnElement[str | None], now: datetime
) -> ColumnElement[bool]:
    """For claims: nobody said to wait, under this key, or without one. Two conditions, each of which a database
    can plan for."""
    key = exists().where(
        CREDENTIALS.c.provider == provider, CREDENTIALS.c.ref == ref, CREDENTIALS.c.cool_until > now
    )
    whole = exists().where(ref.is_(None), WAITS.c.provider == provider, WAITS.c.until > now)
    return and_(~key, ~whole)
