"""Times in words: how far away, and when on the clock."""

from datetime import datetime

_UNITS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))


def when(text: str | None, now: datetime) -> str:
    """Return a text like `in 2 h 5 min (14:32 UTC)`. The date is included where it is not today's."""
    if text is None:
        return ""
    at = datetime.fromisoformat(text)
    shown = f"{at:%H:%M:%S}" if at.date() == now.date() else f"{at:%Y-%m-%d %H:%M}"
    return f"{away(text, now)} ({shown} UTC)"


def away(text: str | None, now: datetime) -> str:
    """Return a text like `in 2 h 5 min` or `12 s ago`."""
    if text is None:
        return ""
    seconds = round((datetime.fromisoformat(text) - now).total_seconds())
    if seconds == 0:
        return "now"
    return f"in {span(seconds)}" if seconds > 0 else f"{span(-seconds)} ago"


def span(seconds: float) -> str:
    """Return the two largest units that are not zero."""
    left, parts = int(seconds), []
    for unit, length in _UNITS:
        count, left = divmod(left, length)
        if count:
            parts.append(f"{count} {unit}")
        elif parts:
            break
    return " ".join(parts[:2]) or "0 s"
