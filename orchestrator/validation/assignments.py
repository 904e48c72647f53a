"""Texts like `KEY = VALUE`: values as `orchestrator.toml` writes them; text needs no quotes here."""

import tomllib
from collections.abc import Iterable
from typing import Any


class AssignmentFault(Exception):
    """A text that is no assignment, or repeats a key."""


def assignments(texts: Iterable[str]) -> dict[str, Any]:
    """Return the values by their keys. Raises AssignmentFault."""
    found: dict[str, Any] = {}
    for text in texts:
        key, equals, value = (part.strip() for part in text.partition("="))
        if not (key and equals and value):
            raise AssignmentFault(f"{text[:100]!r} must be KEY=VALUE")
        if key in found:
            raise AssignmentFault(f"{key} is given twice")
        found[key] = _value(value)
    return found


def _value(text: str) -> Any:
    """Return a number, truth value or list; any other text as it is."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        return text
