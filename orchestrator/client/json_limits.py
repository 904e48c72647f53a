"""Values that no job may contain at any depth, because the database or other readers of JSON cannot keep them."""

import math
import re
from collections.abc import Iterator
from typing import Any, TypeAlias

from orchestrator.validation.locs import Loc

#: (where, what is wrong, its kind)
JsonFault: TypeAlias = tuple[Loc, str, str]

DEEPEST = 32
#: The kind of a value that JSON has no type for.
NO_JSON_TYPE = "json_type"
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_LARGEST = 2**63


def json_faults(arguments: dict[Any, Any]) -> Iterator[JsonFault]:
    """Go through the whole value without recursion; yield every part that is not plain, storable JSON."""
    waiting: list[tuple[Loc, Any]] = [((), arguments)]
    while waiting:
        loc, value = waiting.pop()
        if not isinstance(value, dict | list):
            yield from _of_scalar(loc, value)
        elif len(loc) > DEEPEST:
            yield loc, f"is nested more than {DEEPEST} deep", "too_deep"
        else:
            yield from _of_keys(loc, value)
            flat = len(loc) < DEEPEST  # so what is in it is not too deep
            below = [
                ((*loc, key), one)
                for key, one in _entries(value)
                if not (_is_plain(one) or (flat and type(one) is dict and _is_flat(one)))
            ]
            waiting += reversed(below)


def _entries(value: dict[Any, Any] | list[Any]) -> Iterator[tuple[str | int, Any]]:
    if isinstance(value, list):
        return iter(enumerate(value))
    return ((key, below) for key, below in value.items() if isinstance(key, str))


def _of_keys(loc: Loc, value: dict[Any, Any] | list[Any]) -> Iterator[JsonFault]:
    for key in value if isinstance(value, dict) else ():
        if not isinstance(key, str):
            yield loc, "has a key that is not a text", "key_type"
        elif not _is_storable(key):
            yield loc, "has a key with a NUL character or half a surrogate pair", "unstorable_text"


def _of_scalar(loc: Loc, value: Any) -> Iterator[JsonFault]:
    match value:
        case None | bool():
            return
        case str() if not _is_storable(value):
            yield loc, "holds a NUL character or half a surrogate pair", "unstorable_text"
        case int() if not -_LARGEST <= value < _LARGEST:
            yield loc, "is an integer beyond 64 bits", "integer_range"
        case float() if not math.isfinite(value):
            yield loc, "must be a finite number", "finite_number"
        case str() | int() | float():
            return
        case _:
            yield loc, "is not a JSON type", NO_JSON_TYPE


def _is_plain(value: Any) -> bool:
    """Return whether this is one of the most common values, which have no fault: batches have thousands of them."""
    kind = type(value)
    if kind is str:
        return _UNSTORABLE.search(value) is None
    return kind is bool or value is None or (kind is int and -_LARGEST <= value < _LARGEST)


def _is_flat(value: dict[Any, Any]) -> bool:
    """Return whether this is an object of plain values under plain keys, like each item of a batch."""
    return all(type(key) is str and _is_plain(key) and _is_plain(one) for key, one in value.items())


def _is_storable(text: str) -> bool:
    return _UNSTORABLE.search(text) is None
