"""Convert rows to snapshots and back. Both have the same names, so that a difference is found at once."""

from collections.abc import Hashable
from dataclasses import fields
from functools import cache
from typing import Any, TypeVar, cast

from sqlalchemy import Row, Table
from sqlmodel import SQLModel

T = TypeVar("T")


def table_of(model: type[SQLModel]) -> Table:
    """Return the Core table of a SQLModel class: all queries are explicit statements."""
    table: Table = model.__table__  # type: ignore[attr-defined]
    return table


@cache
def _cached_names(kind: Hashable) -> tuple[str, ...]:
    return tuple(field.name for field in fields(cast(Any, kind)))


def _names(kind: Any) -> tuple[str, ...]:
    return _cached_names(kind)


def snapshot(kind: type[T], row: Row[Any]) -> T:
    """Return a frozen value of `kind` from a row that has (at least) its fields as columns."""
    columns = row._mapping  # noqa: SLF001
    return kind(**{name: columns[name] for name in _names(kind)})


def values_of(value: Any) -> dict[str, Any]:
    """Return all columns of a snapshot."""
    return {name: getattr(value, name) for name in _names(type(value))}


def changes(before: T, after: T) -> dict[str, Any]:
    """Return the columns in which two snapshots differ."""
    names = _names(type(after))
    return {name: getattr(after, name) for name in names if getattr(before, name) != getattr(after, name)}
