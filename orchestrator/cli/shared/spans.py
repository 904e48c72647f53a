"""Durations as people write them: `90`, `90s`, `1h30m`, `2 d`. Every option that takes one is read here."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import typer

from orchestrator.rules.durations import parse_duration

_FRACTION = re.compile(r"[0-9]{1,9}\.[0-9]{1,6}")
_BARE = re.compile(r"[0-9.]+")
#: Tables write `1 h 30 min`.
_SPACE = re.compile(r"(?<=[a-z])\s+|\s+(?=[a-z])")
#: Nothing is older or younger; beyond them, no time can be taken off, or brought into UTC.
_EARLIEST, _LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)
_EXAMPLES = "90s, 15m, 1h30m or 2d"


def seconds_of(text: Any) -> Any:
    """Return the seconds of a duration: a whole number where it is one. A bare number is seconds."""
    if not isinstance(text, str):
        return text  # a default
    seconds = _seconds(text.strip())
    if seconds is None:
        raise typer.BadParameter(f"must be a duration such as {_EXAMPLES}")
    return int(seconds) if seconds == int(seconds) else seconds


def since_of(text: Any) -> datetime | timedelta | None:
    """Return a day, a time, or how long ago."""
    if not isinstance(text, str):
        return None
    if _BARE.fullmatch(text.strip()):  # a day without its dashes would be seconds
        raise typer.BadParameter("how long ago needs a unit, such as 90s or 2d; a day is 2026-01-31")
    seconds = _seconds(text.strip())
    if seconds is not None:
        return timedelta(seconds=seconds)
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(
            "must be a day or a time, such as 2026-01-31 or 2026-01-31T12:00Z, or how long ago, such as 1h30m"
        ) from None
    at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    return min(max(at, _EARLIEST), _LATEST).astimezone(UTC)


def instant_of(since: datetime | timedelta | None, now: datetime) -> datetime | None:
    """Return the instant that is meant."""
    return now - since if isinstance(since, timedelta) else since


def _seconds(text: str) -> float | None:
    return float(text) if _FRACTION.fullmatch(text) else parse_duration(_SPACE.sub("", text))
