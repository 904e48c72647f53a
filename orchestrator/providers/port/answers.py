"""An upstream platform's answer: its bytes, and readings of them."""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cached_property
from typing import Any

from orchestrator.rules.text import clean

#: Seconds: a platform that asks for a longer rest is asked again after this one.
RETRY_AFTER_MAX = 600.0

#: How the line of an event stream begins that says something.
_DATA = b"data:"
#: How all its lines begin; a colon alone is a comment that keeps the connection awake.
_EVENT_FIELDS = (_DATA, b"event:", b"id:", b"retry:", b":")


@dataclass(frozen=True, kw_only=True)  # no slots: its readings are cached
class Response:
    """One complete answer. Its body and headers are left out of its repr: they may echo secrets."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Names in lower case."""
    body: bytes = field(default=b"", repr=False)
    oversized: bool = False
    """The body was longer than the bound; `body` is its beginning."""
    elapsed_ms: int = 0
    received_at: datetime
    hide: Callable[[], tuple[str, ...]] = field(default=tuple, repr=False)
    """Returns what must not appear in messages about this answer."""

    @property
    def hidden(self) -> tuple[str, ...]:
        """What must not appear in messages about this answer."""
        return self.hide()

    @property
    def text(self) -> str:
        return clean(self.body.decode("utf-8", errors="replace"))

    @cached_property
    def json(self) -> Any | None:
        """The body as JSON, or the first chunk of an event stream; None if it is neither. Its texts are cleaned, so
        that no driver and no database gets a NUL or a lone surrogate."""
        if self.oversized:
            return None
        try:
            return _clean(self.body, json.loads(_first_event(self.body)))
        except (ValueError, RecursionError):
            return None

    @property
    def is_stream(self) -> bool:
        """Whether the body is an event stream, even if none was asked for."""
        return self.body.lstrip().startswith(_EVENT_FIELDS)

    @property
    def is_html(self) -> bool:
        start = self.body[:512].lstrip().lower()
        return start.startswith((b"<!doctype html", b"<html")) or "text/html" in self.headers.get(
            "content-type", ""
        )

    @property
    def retry_after_seconds(self) -> float | None:
        return retry_after(self.headers.get("retry-after"), self.received_at)


def _clean(body: bytes, value: Any) -> Any:
    """Clean every text of a JSON value; where the body is plain ASCII without escapes, there is nothing to clean."""
    return value if body.isascii() and b"\\u" not in body else _cleaned(value)


def _cleaned(value: Any) -> Any:
    match value:
        case str():
            return clean(value)
        case dict():
            return {clean(key): _cleaned(below) for key, below in value.items()}
        case list():
            return [_cleaned(below) for below in value]
        case _:
            return value


def retry_after(value: str | None, now: datetime) -> float | None:
    """Return the seconds to wait, given as seconds or as an HTTP date, within bounds; None if it cannot be read."""
    if value is None:
        return None
    seconds = _seconds(value)
    if seconds is None:
        seconds = _until(value, now)
    if seconds is None or math.isnan(seconds):
        return None
    return min(max(seconds, 0.0), RETRY_AFTER_MAX)


def _seconds(value: str) -> float | None:
    try:
        return float(value)
    except ValueError:
        return None


def _until(value: str, now: datetime) -> float | None:
    try:
        then = parsedate_to_datetime(value)
    except (ValueError, TypeError, OverflowError):
        return None
    aware = then if then.tzinfo else then.replace(tzinfo=UTC)
    return (aware - now).total_seconds()


class FirstEvent:
    """Read an event stream chunk by chunk, until its first data line is complete."""

    def __init__(self) -> None:
        self._line = b""
        """How the line that has not ended begins: no more of it is checked again."""

    def __call__(self, chunk: bytes) -> bool:
        *ended, rest = (self._line + chunk).split(b"\n")
        self._line = rest[: len(_DATA)]
        return any(line.startswith(_DATA) for line in ended)


def _first_event(body: bytes) -> bytes:
    """Return the first chunk of a stream, else the body. Some servers stream even if no stream was asked for; the first
    chunk is judged as a whole answer is."""
    if not body.lstrip().startswith(_EVENT_FIELDS):
        return body
    data = (line for line in body.splitlines() if line.startswith(_DATA))
    return next(data, b"").removeprefix(_DATA)
