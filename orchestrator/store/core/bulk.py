"""Write many rows at once. PostgreSQL takes them as one JSON value, so that the statement is the same however many they
are, and no driver converts each value; SQLite executes one statement for each."""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import date, datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    ARRAY,
    JSON,
    ColumnElement,
    Connection,
    Dialect,
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
    literal_column,
    select,
    types,
    update,
)

from orchestrator.store.core.columns import UtcDateTime

Values = Mapping[str, Any]
_Maker = Callable[[Any], Any]
#: Names, in a statement, of the row's id and of the revision that it must still have.
ID, WAS = "its_id", "was_revision"
#: Name, in a statement, of the ids that rows are looked up by.
IDS = "ids"
#: The name of the parameter with all rows.
ROWS = "rows"
_PLACE = "place"


def update_rows(connection: Connection, table: Table, rows: Sequence[Values]) -> int:
    """Update rows by `ID`, each only while its revision is `WAS`; all of them in the same columns. Return how many were
    written."""
    columns = tuple(sorted(rows[0].keys() - {ID, WAS}))
    if connection.dialect.name == "sqlite" or len(rows) == 1:
        return connection.execute(_update_each(table, columns), list(rows)).rowcount
    packed = packed_rows(connection, rows, kinds_of(table, columns))
    return connection.execute(update_all(table, columns), {ROWS: packed}).rowcount


def insert_rows(connection: Connection, table: Table, rows: Sequence[Values]) -> None:
    """Append rows with the same columns, in their order."""
    if len(rows) == 1:
        insert_row(connection, table, rows[0])
        return
    if connection.dialect.name == "sqlite":
        connection.execute(insert(table), list(rows))
        return
    columns = tuple(sorted(rows[0]))
    kinds = {name: table.c[name].type for name in columns}
    connection.execute(insert_all(table, columns), {ROWS: packed_rows(connection, rows, kinds)})


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
    statement, values = upsert(connection.dialect.name, table), list[Values](rows)
    if connection.dialect.name != "sqlite":
        statement = statement.from_select(list(columns), _new_rows(table, columns), include_defaults=False)
        kinds = {name: table.c[name].type for name in columns}
        values = [{ROWS: packed_rows(connection, rows, kinds)}]
    newest = {name: statement.excluded[name] for name in columns if name not in {*keys, *kept}}
    connection.execute(statement.on_conflict_do_update(index_elements=list(keys), set_=newest), values)


def upsert(dialect: str, table: Table) -> Any:
    """Return an insert that may update instead. One dialect is imported, not both: each takes 20 ms."""
    if dialect == "sqlite":
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


@lru_cache(maxsize=64)
def locked_rows(dialect: str, table: Table, *, skip_locked: bool = False) -> Select[Any]:
    """Return the query for the rows with the parameter `IDS`, locked in the order of their ids. It is built once."""
    mine = select(table).where(among_given(dialect, table.c.id)).order_by(table.c.id)
    return mine.with_for_update(skip_locked=skip_locked)


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


def insert_new(connection: Connection, table: Table, values: Values) -> int:
    """Append one row unless there is one under its primary key. Return how many were written."""
    kept = {name: it for name, it in values.items() if it is not None}
    returned = connection.execute(_insert_new(table, connection.dialect.name), kept)
    return len(returned.all())  # psycopg reports no row count of an insert


@lru_cache(maxsize=256)
def _insert_one(table: Table) -> Insert:
    return insert(table)


@lru_cache(maxsize=256)
def _insert_new(table: Table, dialect: str) -> Any:
    return upsert(dialect, table).on_conflict_do_nothing().returning(literal_column("1"))


@lru_cache(maxsize=256)
def _update_one(table: Table, columns: tuple[str, ...]) -> Update:
    values = {name: bindparam(name, type_=table.c[name].type) for name in columns}
    return update(table).where(table.c.id == bindparam(ID)).values(values)


def kinds_of(table: Table, columns: Sequence[str]) -> dict[str, types.TypeEngine[Any]]:
    """Return the types of the values of an update, its id and its earlier revision included."""
    own = {name: table.c[name].type for name in columns}
    return {ID: table.c.id.type, WAS: table.c.revision.type, **own}


@lru_cache(maxsize=256)
def _update_each(table: Table, columns: tuple[str, ...]) -> Update:
    values = {name: bindparam(name, type_=table.c[name].type) for name in columns}
    mine = and_(table.c.id == bindparam(ID), table.c.revision == bindparam(WAS))
    return update(table).where(mine).values(values)


@lru_cache(maxsize=256)
def update_all(table: Table, columns: tuple[str, ...], rows: str = ROWS) -> Update:
    """Return the statement that updates these columns of all rows in the parameter `rows`. PostgreSQL only."""
    new = _unpacked(kinds_of(table, columns), rows)
    mine = and_(table.c.id == new.c[ID], table.c.revision == new.c[WAS])
    return update(table).where(mine).values({name: new.c[name] for name in columns})


@lru_cache(maxsize=256)
def insert_all(table: Table, columns: tuple[str, ...], rows: str = ROWS) -> Any:
    """Return the statement that appends all rows in the parameter `rows`, in their order. PostgreSQL only."""
    new = _new_rows(table, columns, rows)
    return upsert("postgresql", table).from_select(list(columns), new, include_defaults=False)


def _new_rows(table: Table, columns: Sequence[str], rows: str = ROWS) -> Select[Any]:
    new = _unpacked({_PLACE: Integer(), **{name: table.c[name].type for name in columns}}, rows)
    return select(*(new.c[name] for name in columns)).order_by(new.c[_PLACE])


def _unpacked(kinds: Mapping[str, types.TypeEngine[Any]], rows: str) -> TableValuedAlias:
    packed = func.json_to_recordset(cast(bindparam(rows, type_=String()), JSON()))
    columns = (column(name, kind) for name, kind in kinds.items())
    return packed.table_valued(*columns).render_derived(name="new", with_types=True)


def packed_rows(
    connection: Connection,
    rows: Sequence[Values],
    kinds: Mapping[str, types.TypeEngine[Any]],
) -> str:
    """Return the rows as JSON."""
    makers = _makers_of(kinds, connection.dialect)
    made = {name: make for name, make in makers.items() if make is not None and name in rows[0]}
    return json_of([{**row, **{name: make(row[name]) for name, make in made.items()}} for row in rows])


def json_of(rows: Sequence[dict[str, Any]]) -> str:
    """Return rows of JSON values as one JSON value, each with its place."""
    for place, row in enumerate(rows):
        row[_PLACE] = place
    return json.dumps(rows, default=_as_json, separators=(",", ":"))


def _as_json(value: Any) -> str:
    if not isinstance(value, datetime | date):
        raise TypeError(f"{type(value).__name__} has no JSON value")
    if isinstance(value, datetime) and value.utcoffset() is None:
        raise ValueError("an instant without a time zone cannot be stored")
    return value.isoformat()


def plain_values(table: Table, columns: tuple[str, ...], dialect: Dialect, row: Values) -> dict[str, Any]:
    """Return a row that is appended as JSON values. What is None is left out: it is NULL without being said."""
    makers = _makers(table, columns, dialect)
    return {
        name: value if (make := makers[name]) is None else make(value)
        for name, value in row.items()
        if value is not None
    }


@lru_cache(maxsize=256)
def _makers(table: Table, columns: tuple[str, ...], dialect: Dialect) -> Mapping[str, _Maker | None]:
    return _makers_of({name: table.c[name].type for name in columns}, dialect)


def _makers_of(kinds: Mapping[str, types.TypeEngine[Any]], dialect: Dialect) -> Mapping[str, _Maker | None]:
    return {name: _maker(kind, dialect) for name, kind in kinds.items()}


def _maker(kind: types.TypeEngine[Any], dialect: Dialect) -> _Maker | None:
    """Return what makes a JSON value of a column's value; None if that is the value itself."""
    if isinstance(kind, UtcDateTime):
        return None  # written with its offset, by `_as_json`
    if isinstance(kind, types.TypeDecorator) and "process_bind_param" in vars(type(kind)):
        return lambda value: kind.process_bind_param(value, dialect)
    return None
