"""`{placeholders}` in URLs, headers and bodies of configured calls."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic_core import PydanticCustomError

_PLACEHOLDER = re.compile(r"\{(\w+)\}")


def names_in(text: str) -> list[str]:
    return _PLACEHOLDER.findall(text)


def check_known(texts: Iterable[tuple[str, str]], known: frozenset[str]) -> None:
    for where, text in texts:
        for name in names_in(text):
            if name not in known:
                said = {
                    "name": name,
                    "where": f" in {where}" if where else "",
                    "known": ", ".join(sorted(known)) or "none",
                }
                raise PydanticCustomError(
                    "placeholder", "unknown placeholder {{name}}{where}: here are known {known}", said
                )


def texts_of(value: Any, where: str = "") -> Iterator[tuple[str, str]]:
    """Return every text inside the value, with its path."""
    if isinstance(value, str):
        yield where, value
    elif isinstance(value, Mapping):
        for key, below in value.items():
            yield from texts_of(below, f"{where}.{key}".lstrip("."))
    elif isinstance(value, list):
        for n, below in enumerate(value):
            yield from texts_of(below, f"{where}.{n}".lstrip("."))


def filled(text: str, values: Mapping[str, Any]) -> str:
    return _PLACEHOLDER.sub(lambda found: str(values[found[1]]), text)


def filled_tree(value: Any, values: Mapping[str, Any]) -> Any:
    if isinstance(value, str):
        whole = _PLACEHOLDER.fullmatch(value)
        return values[whole[1]] if whole else filled(value, values)
    if isinstance(value, Mapping):
        return {key: filled_tree(below, values) for key, below in value.items()}
    if isinstance(value, list):
        return [filled_tree(below, values) for below in value]
    return value
