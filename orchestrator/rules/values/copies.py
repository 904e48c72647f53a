"""Make and copy wide frozen values. Sessions have 74 fields, and a constructor takes each of them by its name."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from functools import cache
from inspect import ismemberdescriptor
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeVar

T = TypeVar("T")

__all__ = ["from_values", "replace"]

if TYPE_CHECKING:
    from dataclasses import replace  # its arguments are checked
else:

    def replace(value: Any, /, **changes: Any) -> Any:
        """Do as `dataclasses.replace`, in less than half of the time: a stop copies its session six times. Raises
        TypeError for a field that is not there, and for a class that checks its values."""
        kind = type(value)
        copied = _made(kind, _reader(kind)(value))
        writers = _writers(kind)
        for name, changed in changes.items():
            if name not in writers:
                raise TypeError(f"a {kind.__name__} has no field {name}")
            writers[name](copied, changed)
        return copied


def from_values(kind: type[T], values: Sequence[Any]) -> T:
    """Return a frozen value from the values of all its fields, in their order. Raises TypeError for another number of
    values."""
    made: T = _made(kind, values)
    return made


def _made(kind: Any, values: Sequence[Any]) -> Any:
    if len(values) != len(_writers(kind)):
        raise TypeError(f"a {kind.__name__} has {len(_writers(kind))} fields, not {len(values)}")
    made = object.__new__(kind)
    for write, value in zip(_writers(kind).values(), values, strict=True):
        write(made, value)
    return made


@cache
def _reader(kind: Any) -> Callable[[Any], tuple[Any, ...]]:
    return attrgetter(*_writers(kind))


@cache
def _writers(kind: Any) -> Mapping[str, Callable[[Any, Any], None]]:
    """Return what writes each field of a new value, in the order of the fields."""
    if hasattr(kind, "__post_init__"):
        raise TypeError(f"a {kind.__name__} is checked when it is made: use dataclasses.replace")
    return {field.name: _writer(kind, field.name) for field in fields(kind)}


def _writer(kind: Any, name: str) -> Callable[[Any, Any], None]:
    slot = getattr(kind, name, None)
    if ismemberdescriptor(slot):
        return slot.__set__
    return lambda made, value: object.__setattr__(made, name, value)
