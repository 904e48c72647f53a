"""Named queries that find rows by the beginning of their id, or by their name: what a person types."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, Table, and_, func, select, true

from orchestrator.store.plain import table_of


class RowKind(StrEnum):
    """What an id belongs to."""

    SESSION = "session"
    ENDED_SESSION = "ended session"
    """Deleted, or archived."""
    ORPHAN = "orphan"
    FORMER_PROVIDER = "former provider"
    """It has placements, and may have left the configuration."""
    ACCOUNT = "account"
    MODEL = "model"
    TOKEN = "token"  # noqa: S105
    WEBHOOK = "webhook"
    MESSAGE = "message"
    DEAD_LETTER = "dead letter"


@dataclass(frozen=True, slots=True)
class NamedRow:
    """A row that may be meant."""

    id: str
    name: str


class _Place(NamedTuple):
    table: Table
    id: str
    name: str
    where: ColumnElement[bool]


@cache
def _places() -> Mapping[RowKind, Sequence[_Place]]:
    """Return where the rows of each kind are, and what an id and a name are there."""
    sessions, placements = table_of("sessions"), table_of("placements")
    deleted = sessions.c.deleted_at.is_not(None)
    return {
        RowKind.SESSION: [_Place(sessions, "id", "name", ~deleted)],
        RowKind.ENDED_SESSION: [
            _Place(sessions, "id", "name", deleted),
            _Place(table_of("archived_sessions"), "id", "name", true()),
        ],
        RowKind.ORPHAN: [_Place(placements, "id", "id", placements.c.session_id.is_(None))],
        RowKind.FORMER_PROVIDER: [_Place(placements, "provider", "provider", true())],
        RowKind.ACCOUNT: [_Place(table_of("accounts"), "id", "id", true())],
        RowKind.MODEL: [_Place(table_of("models"), "id", "id", true())],
        RowKind.TOKEN: [_Place(table_of("tokens"), "id", "name", true())],
        RowKind.WEBHOOK: [_Place(table_of("webhooks"), "name", "name", true())],
        RowKind.MESSAGE: [_Place(table_of("parked_messages"), "id", "id", true())],
        RowKind.DEAD_LETTER: [_Place(table_of("webhook_deliveries"), "event_id", "event_id", true())],
    }


#: No letter comes after this one.
_HIGHEST = "\U0010ffff"
#: Behind the beginning of an id, this comes after all that an id may continue with.
_LAST = "z" * 65


def begins(column: ColumnElement[str], text: str) -> ColumnElement[bool]:
    """Match texts that begin so, letter by letter: LIKE ignores the case on SQLite."""
    return func.substr(column, 1, len(text)) == text


def id_begins(column: ColumnElement[str], text: str) -> ColumnElement[bool]:
    """Match ids that begin so, by their index. Only for ids: letters, digits and `. _ : / -`, at most 64 of them."""
    # Whatever the database's order of letters, what begins so comes between these two.
    return and_(column >= text, column <= text + _LAST, begins(column, text))


def name_begins(column: ColumnElement[str], text: str, dialect: str) -> ColumnElement[bool]:
    """Match names that begin so, by an index of their letters: `text_pattern_ops` on PostgreSQL."""
    not_less, not_more = (">=", "<=") if dialect == "sqlite" else ("~>=~", "~<=~")
    between = and_(column.bool_op(not_less)(text), column.bool_op(not_more)(text + _HIGHEST))
    return and_(between, begins(column, text))


class Lookups:
    """Queries by what a person types, inside one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def has(self, kind: RowKind, text: str) -> bool:
        """Return whether a row has exactly this id."""
        return bool(self._found(kind, lambda place: place.table.c[place.id] == text, 1))

    def named(self, kind: RowKind, name: str, limit: int) -> Sequence[NamedRow]:
        """Return the rows of exactly this name."""
        return self._found(kind, lambda place: place.table.c[place.name] == name, limit)

    def beginning(self, kind: RowKind, text: str, limit: int) -> Sequence[NamedRow]:
        """Return the rows with an id that begins so, by id."""
        return self._found(kind, lambda place: id_begins(place.table.c[place.id], text), limit)

    def completing(self, kind: RowKind, text: str, limit: int) -> Sequence[NamedRow]:
        """Return the rows with an id that begins so, by id, then rows with such a name."""
        found = [*self.beginning(kind, text, limit), *self._name_beginning(kind, text, limit)]
        return list(dict.fromkeys(found))[:limit]

    def _name_beginning(self, kind: RowKind, text: str, limit: int) -> Sequence[NamedRow]:
        """Return rows with a name that begins so, by name. Of more than `limit`, some: to sort all would read all."""
        dialect, found = self._connection.dialect.name, list[NamedRow]()
        for place in _places()[kind]:
            its_id, name = place.table.c[place.id], place.table.c[place.name]
            if name is not its_id:
                mine = (place.where, name_begins(name, text, dialect))
                rows = self._connection.execute(select(its_id, name).where(*mine).limit(limit))
                found += [NamedRow(row[0], row[1]) for row in rows]
        return sorted(found, key=lambda one: one.name)

    def _found(
        self, kind: RowKind, condition: Callable[[_Place], ColumnElement[bool]], limit: int
    ) -> Sequence[NamedRow]:
        found: list[NamedRow] = []
        for place in _places()[kind]:
            its_id, name = place.table.c[place.id], place.table.c[place.name]
            query = select(its_id.label("its_id"), name.label("its_name")).where(
                place.where, condition(place)
            )
            rows = self._connection.execute(query.distinct().order_by(its_id).limit(limit))
            found += [NamedRow(row.its_id, row.its_name) for row in rows]
        return found[:limit]
