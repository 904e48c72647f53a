"""Durations as people write them (`90s`, `1h30m`, `2d`), and as they are shown (`1 h 30 min`)."""

import re

_UNITS = {"d": 86_400, "h": 3_600, "m": 60, "min": 60, "s": 1}
_PART = re.compile(r"([0-9]{1,9})(d|h|min|m|s)")
_WHOLE = re.compile(r"(?:[0-9]{1,9}(?:d|h|min|m|s))+")
_SHOWN = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
#: Seconds: ten years.
LONGEST_DURATION = 315_360_000


def parse_duration(text: str) -> int | None:
    """Return the seconds of a duration; a number alone is of seconds. None for any other text, or one that is too
    long."""
    if re.fullmatch(r"[0-9]{1,9}", text):
        seconds = int(text)
    elif _WHOLE.fullmatch(text):
        seconds = sum(int(count) * _UNITS[unit] for count, unit in _PART.findall(text))
    else:
        return None
    return seconds if seconds <= LONGEST_DURATION else None


def duration_text(seconds: float, most: int = 2) -> str:
    """Return the largest units that are not zero, at most this many in a row."""
    left, parts = int(seconds), []
    for unit, length in _SHOWN:
        count, left = divmod(left, length)
        if count:
            parts.append(f"{count} {unit}")
        elif parts:
            break
    return " ".join(parts[:most]) or "0 s"
