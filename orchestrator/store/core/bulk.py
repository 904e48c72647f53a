"""Write many rows at once. PostgreSQL takes them as one JSON value, so that the statement is the same however many they
are, and no driver converts each value; SQLite executes one statement for each."""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    ARRAY,
    JSON,
    ColumnElement,
    Connection,
    Insert,
    Integer,
    Select,
    String,
    Table,
    TableValuedAlias,
    Update,
    and_,
    any_,
    bindparam,
    cast,
    column,
    func,
    insert,
    literal,
    select,
    types,
    update,
)

Values = Mapping[str, Any]
#: Names, in a statement, of the row's id and of the revision that it must still have.
ID, WAS = "its_id", "was_revision"
#: Name, in a statement, of the ids that rows are looked up by.
IDS = "ids"
_ROWS, _PLACE = "rows", "place"


def update_rows(connection: Connection, table: Table, rows: Sequence[Values]) -> int:
    """Update rows by `ID`, each only while its revision is `WAS`; all of them in the same columns. Return how many were
    written."""
    columns = tuple(sorted(rows[0].keys() - {ID, WAS}))
    if connection.dialect.name == "sqlite" or len(rows) == 1:
        return connection.execute(_update_each(table, columns), list(rows)).rowcount
    packed = _packed(connection, rows, _kinds(table, columns))
    return connection.execute(_update_all(table, columns), {_ROWS: packed}).rowcount


def insert_rows(connection: Connection, table: Table, rows: Sequence[Values]) -> None:
    """Append rows with the same columns, in their order."""
    columns = tuple(sorted(rows[0]))
    if connection.dialect.name == "sqlite" or len(rows) == 1:
        connection.execute(insert(table), list(rows))
        return
    kinds = {name: table.c[name].type for name in columns}
    connection.execute(_insert_all(table, columns), {_ROWS: _packed(connection, rows, kinds)})


def put_rows(
    connection: Connection,
    table: Table,
    keys: Sequence[str],
    rows: Sequence[Values],
    *,
    kept: Collection[str] = (),
) -> None:
    """Append rows with the same columns, of which no two have the same keys. Update those that are there, except in the
    columns of `kept`."""
    if not rows:
        return
    columns = tuple(sorted(rows[0]))
    statement, values = _upsert(connection, table), list[Values](rows)
    if connection.dialect.name != "sqlite":
        statement = statement.from_select(list(columns), _new_rows(table, columns), include_defaults=False)
        kinds = {name: table.c[name].type for name in columns}
        values = [{_ROWS: _packed(connection, rows, kinds)}]
    newest = {name: statement.excluded[name] for name in columns if name not in {*keys, *kept}}
    connection.execute(statement.on_conflict_do_update(index_elements=list(keys), set_=newest), values)


def _upsert(connection: Connection, table: Table) -> Any:
    """Return an insert that may update instead. One dialect is imported, not both: each takes 20 ms."""
    if connection.dialect.name == "sqlite":
        from sqlalchemy.dialects.sqlite import insert as on_sqlite

        return on_sqlite(table)
    from sqlalchemy.dialects.postgresql import insert as on_postgresql

    return on_postgresql(table)


def among(connection: Connection, column: ColumnElement[str], ids: Collection[str]) -> ColumnElement[bool]:
    """Match rows of which this column is one of `ids`."""
    if connection.dialect.name == "sqlite":
        return column.in_(ids)
    return column == any_(literal(list(ids), ARRAY(column.type)))


def among_given(dialect: str, column: ColumnElement[str]) -> ColumnElement[bool]:
    """Match rows of which this column is one of the parameter `IDS`, in a statement that is built once."""
    if dialect == "sqlite":
        return column.in_(bindparam(IDS, expanding=True))
    return column == any_(bindparam(IDS, type_=ARRAY(column.type)))


def each_of(name: str, kind: types.TypeEngine[Any]) -> TableValuedAlias:
    """Return the values of the array `name` as a table with the column `id`. PostgreSQL only."""
    values = func.unnest(bindparam(name, type_=ARRAY(kind)))
    return values.table_valued(column("id", kind)).render_derived(name=name)


def update_row(connection: Connection, table: Table, row_id: str, changed: Values) -> None:
    """Update the columns of one locked row."""
    connection.execute(_update_one(table, tuple(sorted(changed))), {ID: row_id, **changed})


def insert_row(connection: Connection, table: Table, values: Values) -> None:
    """Append one row. What is None is left out: it is NULL without being said."""
    connection.execute(_insert_one(table), {name: it for name, it in values.items() if it is not None})


@lru_cache(maxsize=256)
def _insert_one(table: Table) -> Insert:
    return insert(table)


@lru_cache(maxsize=256)
def _update_one(table: Table, columns: tuple[str, ...]) -> Update:
    values = {name: bindparam(name, type_=table.c[name].type) for name in columns}
    return update(table).where(table.c.id == bindparam(ID)).values(values)


def _kinds(table: Table, columns: Sequence[str]) -> dict[str, types.TypeEngine[Any]]:
    own = {name: table.c[name].type for name in columns}
    return {ID: table.c.id.type, WAS: table.c.revision.type, **own}


@lru_cache(maxsize=256)
def _update_each(table: Table, columns: tuple[str, ...]) -> Update:
    values = {name: bindparam(name, type_=table.c[name].type) for name in columns}
    mine = and_(table.c.id == bindparam(ID), table.c.revision == bindparam(WAS))
    return update(table).where(mine).values(values)


@lru_cache(maxsize=256)
def _update_all(table: Table, columns: tuple[str, ...]) -> Update:
    new = _unpacked(_kinds(table, columns))
    mine = and_(table.c.id == new.c[ID], table.c.revision == new.c[WAS])
    return update(table).where(mine).values({name: new.c[name] for name in columns})


@lru_cache(maxsize=256)
def _insert_all(table: Table, columns: tuple[str, ...]) -> Insert:
    return insert(table).from_select(list(columns), _new_rows(table, columns), include_defaults=False)


def _new_rows(table: Table, columns: Sequence[str]) -> Select[Any]:
    new = _unpacked({_PLACE: Integer(), **{name: table.c[name].type for name in columns}})
    return select(*(new.c[name] for name in columns)).order_by(new.c[_PLACE])


def _unpacked(kinds: Mapping[str, types.TypeEngine[Any]]) -> TableValuedAlias:
    rows = func.json_to_recordset(cast(bindparam(_ROWS, type_=String()), JSON()))
    columns = (column(name, kind) for name, kind in kinds.items())
    return rows.table_valued(*columns).render_derived(name="new", with_types=True)


def _packed(
    connection: Connection, rows: Sequence[Values], kinds: Mapping[str, types.TypeEngine[Any]]
) -> str:
    """Return the rows as JSON."""
    makers = {name: _maker(kind, connection) for name, kind in kinds.items() if name in rows[0]}
    made = {name: make for name, make in makers.items() if make is not None}
    packed = [
        {_PLACE: n, **row, **{name: make(row[name]) for name, make in made.items()}}
        for n, row in enumerate(rows)
    ]
    return json.dumps(packed, default=datetime.isoformat, separators=(",", ":"))


def _maker(kind: types.TypeEngine[Any], connection: Connection) -> Callable[[Any], Any] | None:
    """Return what makes a JSON value of a column's value; None where that is the value itself."""
    if isinstance(kind, types.TypeDecorator) and "process_bind_param" in vars(type(kind)):
        dialect = connection.dialect
        return lambda value: kind.process_bind_param(value, dialect)
    return None
