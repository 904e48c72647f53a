"""Values that no job may contain at any depth, because the database or other readers of JSON cannot keep them."""

import math
from collections.abc import Iterator
from typing import Any, TypeAlias

Loc: TypeAlias = tuple[str | int, ...]
#: (where, what is wrong, its kind)
WildFault: TypeAlias = tuple[Loc, str, str]

DEEPEST = 32


def wild_faults(arguments: dict[Any, Any]) -> Iterator[WildFault]:
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
            waiting += reversed([((*loc, key), below) for key, below in _entries(value)])


def _entries(value: dict[Any, Any] | list[Any]) -> Iterator[tuple[str | int, Any]]:
    if isinstance(value, list):
        return iter(enumerate(value))
    return ((key, below) for key, below in value.items() if isinstance(key, str))


def _of_keys(loc: Loc, value: dict[Any, Any] | list[Any]) -> Iterator[WildFault]:
    for key in value if isinstance(value, dict) else ():
        if not isinstance(key, str):
            yield loc, "has a key that is not a text", "key_type"
        elif not _is_storable(key):
            yield loc, "has a key with a NUL character or half a surrogate pair", "unstorable_text"


def _of_scalar(loc: Loc, value: Any) -> Iterator[WildFault]:
    match value:
        case None | bool():
            return
        case str() if not _is_storable(value):
            yield loc, "holds a NUL character or half a surrogate pair", "unstorable_text"
        case int() if not -(2**63) <= value < 2**63:
            yield loc, "is an integer beyond 64 bits", "integer_range"
        case float() if not math.isfinite(value):
            yield loc, "must be a finite number", "finite_number"
        case str() | int() | float():
            return
        case _:
            yield loc, "is not a JSON type", "json_type"


def _is_storable(text: str) -> bool:
    return "\x00" not in text and not any("\ud800" <= letter <= "\udfff" for letter in text)
