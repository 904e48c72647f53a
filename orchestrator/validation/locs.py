"""The place of a fault in a document."""

import json
from typing import TypeAlias

#: Keys, and numbers in lists.
Loc: TypeAlias = tuple[str | int, ...]


def path_of(loc: Loc) -> str:
    """Return the place as people write it: `providers.aiml.credentials[1]`."""
    parts = [f"[{part}]" if isinstance(part, int) else "." + _key(part) for part in loc]
    return "".join(parts).removeprefix(".")


def _key(part: str) -> str:
    """Return the key for one line of a message: quoted where it is blank or holds what cannot be printed."""
    return part if part.strip() and part.isprintable() else json.dumps(part)
