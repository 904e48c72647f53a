"""Gather the changes of locked rows, and write them together."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Table

from orchestrator.store.core import bulk, joined
from orchestrator.store.core.engine import call_before_each
from orchestrator.store.core.joined import Write
from orchestrator.store.core.rows import columns_from


class ChangedMeanwhile(Exception):
    """A row that this transaction had locked is not as it was read: nothing of the transaction is kept."""


class AlreadyThere(Exception):
    """A row that should be new is there already: nothing of the transaction is kept."""


@dataclass(slots=True)
class _Pending:
    was: int
    """The revision that the row has in the database."""
    names: set[str]
    after: Any


_Updates = Mapping[Table, Mapping[str, _Pending]]
_Inserts = Mapping[Table, Sequence[Mapping[str, Any]]]


class Gathering:
    """Writes of one transaction: each at once, within `together` many in one statement, or from `gather` on all of them
    at the end.

    No statement overtakes a gathered change: any other statement first writes what was gathered."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._gathers = False
        self._at_the_end = False
        self._locked: set[tuple[str, str]] = set()
        self._updates: dict[Table, dict[str, _Pending]] = {}
        self._inserts: dict[Table, list[Mapping[str, Any]]] = {}
        self._new: dict[Table, list[Mapping[str, Any]]] = {}

    def gather(self) -> None:
        """Gather from now on, until `write` is called at the end of the transaction."""
        call_before_each(self._connection, self._write_waiting)
        self._gathers = self._at_the_end = True

    @contextmanager
    def together(self) -> Iterator[None]:
        """Gather within it; write at its end. After an error nothing more is written."""
        if self._at_the_end:
            yield
            return
        call_before_each(self._connection, self._write_waiting)
        self._gathers = True
        try:
            yield
            self.write()
        finally:
            self._gathers = False
            call_before_each(self._connection, None)

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

    def insert_all(self, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
        """Append rows with the same columns, in their order."""
        if self._gathers:
            self._inserts.setdefault(table, []).extend(rows)
        else:
            bulk.insert_rows(self._connection, table, rows)

    def insert_new(self, table: Table, values: Mapping[str, Any]) -> None:
        """Append a row under a key that no row may have yet. Raises AlreadyThere, at once or from `write`. It waits for
        another transaction that appends a row under the same key."""
        self._new.setdefault(table, []).append(values)
        if not self._gathers:
            self.write()

    def write(self) -> None:
        """Write what was gathered. Raises ChangedMeanwhile, and AlreadyThere."""
        updates, self._updates = self._updates, {}
        inserts, self._inserts = self._inserts, {}
        new, self._new = self._new, {}
        if self._at_the_end and self._connection.dialect.name == "postgresql":
            self._write_at_once(updates, inserts, new)
            return
        for table, rows in updates.items():
            pending = _rows(rows)
            _check_updates(table, bulk.update_rows(self._connection, table, pending), len(pending))
        for table, values in inserts.items():
            bulk.insert_rows(self._connection, table, values)
        for table, values in new.items():
            for row in values:
                _check_new(table, bulk.insert_new(self._connection, table, row), 1)

    def _write_at_once(self, updates: _Updates, inserts: _Inserts, new: _Inserts) -> None:
        """Write everything in one statement, and check how many rows it has written."""
        writes = [Write.update(table, _rows(rows)) for table, rows in updates.items()]
        writes += [Write.insert(table, rows) for table, rows in inserts.items()]
        writes += [Write.insert(table, rows, new=True) for table, rows in new.items()]
        if not writes:
            return
        for write, written in zip(writes, joined.execute(self._connection, writes), strict=True):
            check = _check_new if write.is_new else _check_updates
            check(write.table, written, len(write.rows))

    def _write_waiting(self) -> None:
        if self._updates or self._inserts or self._new:
            self.write()


def _check_updates(table: Table, written: int, wanted: int) -> None:
    if written != wanted:
        raise ChangedMeanwhile(f"rows of {table.name} have changed under their locks")


def _check_new(table: Table, written: int, wanted: int) -> None:
    if written != wanted:
        raise AlreadyThere(f"a row of {table.name} is there already")


def _rows(rows: Mapping[str, _Pending]) -> list[dict[str, Any]]:
    """Return all rows in the columns in which any of them has changed: the others are as they were read."""
    names = set[str]().union(*(one.names for one in rows.values()))
    return [_row(one, names) for one in rows.values()]


def _row(pending: _Pending, names: AbstractSet[str]) -> dict[str, Any]:
    values = columns_from(pending.after, names)
    return {**values, bulk.ID: pending.after.id, bulk.WAS: pending.was, "revision": pending.after.revision}
