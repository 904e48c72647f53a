"""What may be shown of a message that cannot be carried out: its structure, and none of its contents."""

from collections.abc import Collection, Mapping
from typing import Any

#: Entries shown of one object or list, levels shown, and characters in all.
_WIDEST, _DEEPEST, _LONGEST = 16, 5, 600
#: Characters shown of a task's name or id.
_NAME = 80


def shape_of(value: Any, known: Collection[str]) -> str:
    """Describe a JSON value by its types and its `known` keys: any other key may be a secret."""
    shown = _shape(value, frozenset(known), _DEEPEST)
    return shown if len(shown) <= _LONGEST else shown[: _LONGEST - 1] + "…"


def shown_name(value: Any) -> str | None:
    """Return the printable part of a task's name or id; None if it is no text."""
    if not isinstance(value, str):
        return None
    printable = "".join(char for char in value[: 4 * _NAME] if char.isprintable())
    return printable if len(printable) <= _NAME else printable[: _NAME - 1] + "…"


def _shape(value: Any, known: frozenset[str], depth: int) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case str() | bytes():
            return f"text({len(value)})"
        case Mapping():
            return _of_object(value, known, depth)
        case list() | tuple():
            return _of_list(value, known, depth)
        case _:
            return "other"


def _of_object(value: Mapping[Any, Any], known: frozenset[str], depth: int) -> str:
    if depth == 0:
        return f"object({len(value)})"
    entries = [
        f"{key if key in known else '?'}: {_shape(below, known, depth - 1)}"
        for key, below in list(value.items())[:_WIDEST]
    ]
    return "{" + ", ".join([*entries, *["…"] * (len(value) > _WIDEST)]) + "}"


def _of_list(value: Any, known: frozenset[str], depth: int) -> str:
    if depth == 0 or len(value) > _WIDEST:
        return f"list({len(value)})"
    return "[" + ", ".join(_shape(below, known, depth - 1) for below in value) + "]"
