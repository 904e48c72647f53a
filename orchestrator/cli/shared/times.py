"""Times in words: how far away, and when on the clock."""

from collections.abc import Sequence
from datetime import datetime

from orchestrator.cli.shared.fitting import Forms
from orchestrator.rules.durations import duration_text


def when(text: str | None, now: datetime) -> str:
    """Return a text like `in 2 h 5 min (14:32 UTC)`. The date is included where it is not today's."""
    if text is None:
        return ""
    at = datetime.fromisoformat(text)
    shown = f"{at:%H:%M:%S}" if at.date() == now.date() else f"{at:%Y-%m-%d %H:%M}"
    return f"{away(text, now)} ({shown} UTC)"


def away(text: str | None, now: datetime, most: int = 2) -> str:
    """Return a text like `in 2 h 5 min` or `12 s ago`, with this many units at most."""
    if text is None:
        return ""
    seconds = round((datetime.fromisoformat(text) - now).total_seconds())
    if seconds == 0:
        return "now"
    return f"in {duration_text(seconds, most)}" if seconds > 0 else f"{duration_text(-seconds, most)} ago"


def whens(text: str | None, now: datetime) -> Forms:
    """Return the same for a table: how far away and when, then how far away, then that in one unit."""
    if text is None:
        return Forms([""])
    return Forms([when(text, now), *aways(text, now)])


def aways(text: str | None, now: datetime, more: str = "") -> Sequence[str]:
    """Return how far away, with two units and with one. `more` follows each."""
    return [f"{away(text, now, most)} {more}".strip() for most in (2, 1)]
