"""Where the answers of a configured API hold each value: dotted paths like `data.items.0.id`."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

from orchestrator.providers.port.answers import Response

_PATH = re.compile(r"(?:\$\.)?[\w-]+(?:\.[\w-]+)*")

#: Seconds beyond which a number must be milliseconds: the year 5138.
_MILLISECONDS_ABOVE = 1e11


def _json_path(path: str) -> str:
    if not _PATH.fullmatch(path):
        raise PydanticCustomError(
            "json_path", "is not a path such as data.items.0.id: {path}", {"path": path}
        )
    return path.removeprefix("$.")


JsonPath = Annotated[str, AfterValidator(_json_path)]


def read_path(body: Any, path: str | None) -> Any:
    """Return the value that the path points to; None if there is none."""
    for part in path.split(".") if path else ():
        if isinstance(body, Mapping):
            body = body.get(part)
        elif isinstance(body, list) and part.isdecimal() and int(part) < len(body):
            body = body[int(part)]
        else:
            return None
    return body if path else None


def read_text(body: Any, path: str | None) -> str | None:
    value = read_path(body, path)
    return (
        str(value) if isinstance(value, str | int) and not isinstance(value, bool) and value != "" else None
    )


def read_time(body: Any, path: str | None) -> datetime | None:
    """Return a time written as unix seconds or milliseconds, or in ISO 8601; without a zone it is UTC. None for
    anything else."""
    value = read_path(body, path)
    try:
        if isinstance(value, str) and not value.replace(".", "", 1).isdecimal():
            time = datetime.fromisoformat(value)
            return time if time.tzinfo else time.replace(tzinfo=UTC)
        number = float(value)
        return datetime.fromtimestamp(number / (1000 if number > _MILLISECONDS_ABOVE else 1), UTC)
    except (ValueError, TypeError, OverflowError, OSError):
        return None


def is_readable(answer: Response) -> bool:
    """Return whether the body is what an API sends: JSON, or nothing at all."""
    return (
        not answer.oversized and not answer.is_html and (not answer.body.strip() or answer.json is not None)
    )
