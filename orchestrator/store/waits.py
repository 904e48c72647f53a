"""Named queries over waits: who said to wait, the provider as a whole or under one key."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, and_, case, exists, func, literal, select
from sqlalchemy.dialects import postgresql, sqlite

from orchestrator.store.rows import table_of
from orchestrator.store.tables import CredentialRow, WaitRow

CREDENTIALS = table_of(CredentialRow)
WAITS = table_of(WaitRow)
#: How ids end.
_DIGITS = "0123456789abcdef"


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
    provider: ColumnElement[str],
    ref: ColumnElement[str | None],
    now: datetime,
    *,
    row: ColumnElement[str],
    spread_seconds: float,
) -> ColumnElement[bool]:
    """For claims: nobody said to wait, under this key, or without one. Two conditions, each of which a database
    can plan for.

    What waited together goes again one after another, within `spread_seconds` of the end of the wait: each `row` at
    a moment of its own, by its id. Else the first second after a Retry-After would bring the next one."""
    mine = _moment_of(row, now, spread_seconds)
    key = exists().where(
        CREDENTIALS.c.provider == provider, CREDENTIALS.c.ref == ref, CREDENTIALS.c.cool_until > mine
    )
    whole = exists().where(ref.is_(None), WAITS.c.provider == provider, WAITS.c.until > mine)
    return and_(~key, ~whole)


def _moment_of(row: ColumnElement[str], now: datetime, spread_seconds: float) -> ColumnElement[datetime]:
    """The latest end of a wait that is over for this row: ids are random, so that their last digit draws lots."""
    step = timedelta(seconds=spread_seconds) / len(_DIGITS)
    moments = {
        digit: literal(now - n * step, CREDENTIALS.c.cool_until.type) for n, digit in enumerate(_DIGITS)
    }
    last = func.lower(func.substr(row, func.length(row), 1))
    return case(moments, value=last, else_=literal(now, CREDENTIALS.c.cool_until.type))
