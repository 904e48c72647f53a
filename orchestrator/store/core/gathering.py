"""Gather the changes of locked rows, and write them together."""

from collections.abc import Collection, Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Table, event

from orchestrator.store.core import bulk
from orchestrator.store.core.rows import columns_from


class ChangedMeanwhile(Exception):
    """A row that this transaction had locked is not as it was read: nothing of the transaction is kept."""


@dataclass(slots=True)
class _Pending:
    was: int
    """The revision that the row has in the database."""
    names: set[str]
    after: Any


class Gathering:
    """Writes of one transaction: each at once, or within `together` many in one statement.

    No statement overtakes a gathered change: any other statement first writes what was gathered."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._gathers = False
        self._locked: set[tuple[str, str]] = set()
        self._updates: dict[Table, dict[str, _Pending]] = {}
        self._inserts: dict[Table, list[Mapping[str, Any]]] = {}

    @contextmanager
    def together(self) -> Iterator[None]:
        """Gather within it; write at its end. After an error nothing more is written."""
        event.listen(self._connection, "before_execute", self._before)
        self._gathers = True
        try:
            yield
            self.write()
        finally:
            self._gathers = False
            event.remove(self._connection, "before_execute", self._before)

    def note_locked(self, table: Table, ids: Collection[str]) -> None:
        """Note rows that were read under their locks: only these may be written later than they are changed."""
        self._locked.update((table.name, one) for one in ids)

    def update(self, table: Table, before: Any, after: Any, changed: Mapping[str, Any]) -> None:
        """Write the changed columns of a row, and its next revision."""
        if not (self._gathers and (table.name, after.id) in self._locked):
            changed = {**changed, "revision": before.revision + 1}
            bulk.update_row(self._connection, table, after.id, changed)
            return
        rows = self._updates.setdefault(table, {})
        known = rows.get(after.id)
        if known is None:
            rows[after.id] = _Pending(before.revision, set(changed), after)
        else:
            known.names |= changed.keys()
            known.after = after

    def insert(self, table: Table, values: Mapping[str, Any]) -> None:
        """Append a row."""
        if self._gathers:
            self._inserts.setdefault(table, []).append(values)
        else:
            bulk.insert_row(self._connection, table, values)

    def write(self) -> None:
        """Write what was gathered. Raises ChangedMeanwhile."""
        updates, self._updates = self._updates, {}
        inserts, self._inserts = self._inserts, {}
        for table, rows in updates.items():
            self._write_updates(table, rows)
        for table, values in inserts.items():
            bulk.insert_rows(self._connection, table, values)

    def _write_updates(self, table: Table, pending: Mapping[str, _Pending]) -> None:
        """Write all rows in the columns in which any of them has changed: the others are as they were read."""
        names = set[str]().union(*(one.names for one in pending.values()))
        rows = [_row(one, names) for one in pending.values()]
        if bulk.update_rows(self._connection, table, rows) != len(rows):
            raise ChangedMeanwhile(f"rows of {table.name} have changed under their locks")

    def _before(self, *_event: Any) -> None:
        if self._updates or self._inserts:
            self.write()


def _row(pending: _Pending, names: AbstractSet[str]) -> dict[str, Any]:
    values = columns_from(pending.after, names)
    return {**values, bulk.ID: pending.after.id, bulk.WAS: pending.was, "revision": pending.after.revision}
