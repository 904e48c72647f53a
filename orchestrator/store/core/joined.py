"""Write the rows of several tables in one statement: each table's rows come as one JSON value. PostgreSQL only.

All parts see the database as it was before the statement. Foreign keys are checked, and triggers run, after all of
them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import CTE, Connection, Select, Table, func, literal_column, select

from orchestrator.store.core import bulk
from orchestrator.store.core.bulk import Values


@dataclass(frozen=True, slots=True)
class _Part:
    """What the statement says about one table."""

    table: Table
    columns: tuple[str, ...]
    updates: bool
    is_new: bool


@dataclass(frozen=True, slots=True)
class Write:
    """Rows of one table that are appended or updated."""

    part: _Part
    rows: Sequence[Values]

    @classmethod
    def update(cls, table: Table, rows: Sequence[Values]) -> "Write":
        """Update rows by `bulk.ID`, each only while its revision is `bulk.WAS`; all of them in the same columns."""
        columns = tuple(sorted(rows[0].keys() - {bulk.ID, bulk.WAS}))
        return cls(_Part(table, columns, updates=True, is_new=False), rows)

    @classmethod
    def insert(cls, table: Table, rows: Sequence[Values], *, new: bool = False) -> "Write":
        """Append rows with the same columns. `new`: leave out those with a key that is there already."""
        return cls(_Part(table, tuple(rows[0]), updates=False, is_new=new), rows)

    @property
    def table(self) -> Table:
        """The table of these rows."""
        return self.part.table

    @property
    def is_new(self) -> bool:
        """Whether these rows are left out where their keys are there already."""
        return self.part.is_new


def execute(connection: Connection, writes: Sequence[Write]) -> Sequence[int]:
    """Execute all of them, each of another table; return how many rows each has written."""
    statement = _statement(tuple(write.part for write in writes))
    given = {f"rows{n}": _packed(connection, write) for n, write in enumerate(writes)}
    return tuple(connection.execute(statement, given).one())


def _packed(connection: Connection, write: Write) -> str:
    part = write.part
    if part.updates:
        return bulk.packed_rows(connection, write.rows, bulk.kinds_of(part.table, part.columns))
    dialect = connection.dialect
    return bulk.json_of([bulk.plain_values(part.table, part.columns, dialect, row) for row in write.rows])


@lru_cache(maxsize=256)
def _statement(parts: tuple[_Part, ...]) -> Select[Any]:
    written = [_written(part, n) for n, part in enumerate(parts)]
    return select(*(select(func.count()).select_from(one).scalar_subquery() for one in written))


def _written(part: _Part, n: int) -> CTE:
    rows = f"rows{n}"
    one: Any = literal_column("1").label("one")
    if part.updates:
        return bulk.update_all(part.table, part.columns, rows).returning(one).cte(f"write{n}")
    new = bulk.insert_all(part.table, part.columns, rows)
    added: CTE = (new.on_conflict_do_nothing() if part.is_new else new).returning(one).cte(f"write{n}")
    return added
