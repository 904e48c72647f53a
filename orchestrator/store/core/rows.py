"""Convert rows to snapshots and back. Both have the same names, so that a difference is found at once; a `Due` and a
`Lease` are several columns each."""

from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import closing
from dataclasses import fields
from functools import cache
from operator import attrgetter, itemgetter
from types import MappingProxyType
from typing import Any, TypeVar, cast

from sqlalchemy import Result, Row

from orchestrator.rules.values import Due, Lease, Session
from orchestrator.rules.values.copies import from_values

T = TypeVar("T")

#: Field → its class, and the columns of that class's fields in their order. Without the first, the field is None.
_COMPOSED: Mapping[str, tuple[type[Any], Sequence[str]]] = MappingProxyType(
    {"due": (Due, ("next_step", "next_step_at")), "lease": (Lease, ("lease_token", "lease_until"))}
)
#: Only claims of sessions record when they began.
_LEASE_OF_SESSION: tuple[type[Any], Sequence[str]] = (Lease, (*_COMPOSED["lease"][1], "leased_at"))


@cache
def _cached_parts(
    kind: Hashable,
) -> tuple[tuple[str, ...], tuple[tuple[str, type[Any], Sequence[str]], ...]]:
    names = [field.name for field in fields(cast(Any, kind))]
    composed: dict[str, tuple[type[Any], Sequence[str]]] = dict(_COMPOSED)
    if kind is Session:
        composed["lease"] = _LEASE_OF_SESSION
    plain = tuple(name for name in names if name not in composed)
    return plain, tuple((name, *composed[name]) for name in names if name in composed)


def _parts(kind: Any) -> tuple[tuple[str, ...], tuple[tuple[str, type[Any], Sequence[str]], ...]]:
    """Return the fields that are one column each, and those that are several: their names, classes and columns."""
    return _cached_parts(kind)


def columns_of(kind: type[Any]) -> Sequence[str]:
    """Return the names of the columns that a snapshot of this kind is made of."""
    plain, composed = _parts(kind)
    return [*plain, *(column for _, _, columns in composed for column in columns)]


def snapshot(kind: type[T], row: Row[Any]) -> T:
    """Return a frozen value of `kind` from a row that has (at least) its fields as columns."""
    of_kind: Any = kind
    return from_values(kind, _reader(of_kind, row._fields)(row))


@cache
def _reader(kind: Hashable, columns: tuple[str, ...]) -> Callable[[Row[Any]], Sequence[Any]]:
    """Return what reads the values of all fields, in their order, of a row with these columns."""
    place = {name: n for n, name in enumerate(columns)}
    _, composed = _parts(kind)
    names = [field.name for field in fields(cast(Any, kind))]
    first = {name: parts[0] for name, _, parts in composed}
    plain = _items([place[first.get(name, name)] for name in names])
    made = [
        (names.index(name), its_kind, [place[part] for part in parts]) for name, its_kind, parts in composed
    ]
    return _composing(plain, made) if made else plain


def _items(places: Sequence[int]) -> Callable[[Row[Any]], Sequence[Any]]:
    """Return what reads these places of a row."""
    if len(places) == 1:
        return lambda row: (row[places[0]],)
    return itemgetter(*places)


def _composing(
    read: Callable[[Row[Any]], Sequence[Any]], composed: Sequence[tuple[int, type[Any], Sequence[int]]]
) -> Callable[[Row[Any]], Sequence[Any]]:
    """Return what reads a row as `read` does, and makes values of several columns where their first is not NULL."""

    def read_all(row: Row[Any]) -> Sequence[Any]:
        values = [*read(row)]
        for n, kind, places in composed:
            if values[n] is not None:
                values[n] = kind(*(row[place] for place in places))
        return values

    return read_all


def snapshots(kind: type[T], result: Result[Any]) -> list[T]:
    """Return a frozen value of `kind` from each row of a result. A row that cannot be read ends the statement, without
    which SQLite commits nothing."""
    of_kind: Any = kind
    read = _reader(of_kind, tuple(result.keys()))
    with closing(result):
        return [from_values(kind, read(row)) for row in result]


def values_of(value: Any, names: Collection[str] | None = None) -> dict[str, Any]:
    """Return the columns of a snapshot: of the fields with these names, or of all."""
    plain, composed = _parts(type(value))
    values = {name: getattr(value, name) for name in plain if names is None or name in names}
    for name, made_of, parts in composed:
        if names is None or name in names:
            values |= _columns(getattr(value, name), made_of, parts)
    return values


def columns_from(value: Any, names: AbstractSet[str]) -> dict[str, Any]:
    """Return those columns of a snapshot that have these names."""
    plain, composed = _parts(type(value))
    values = {name: getattr(value, name) for name in plain if name in names}
    for name, made_of, parts in composed:
        if not names.isdisjoint(parts):
            values |= _columns(getattr(value, name), made_of, parts)
    return {name: value for name, value in values.items() if name in names}


def changes(before: T, after: T) -> dict[str, Any]:
    """Return the columns in which two snapshots differ."""
    plain, composed = _parts(type(after))
    every = _all_of(plain)
    changed = {
        name: now
        for name, was, now in zip(plain, every(before), every(after), strict=True)
        if was is not now and was != now
    }
    for name, made_of, parts in composed:
        if getattr(before, name) == getattr(after, name):
            continue
        was = _columns(getattr(before, name), made_of, parts)
        becomes = _columns(getattr(after, name), made_of, parts)
        changed |= {column: value for column, value in becomes.items() if was[column] != value}
    return changed


@cache
def _all_of(names: tuple[str, ...]) -> Callable[[Any], tuple[Any, ...]]:
    return attrgetter(*names)


def _columns(value: Any, made_of: type[Any], parts: Sequence[str]) -> dict[str, Any]:
    return dict(zip(parts, _attributes(value, made_of), strict=False))


def _attributes(value: Any, made_of: type[Any]) -> Iterator[Any]:
    for field in fields(made_of):
        yield None if value is None else getattr(value, field.name)
