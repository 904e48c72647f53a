"""Times, money and states as people read them."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from orchestrator.rules.durations import duration_text

#: What is shown if there is no value.
NOTHING = "\N{EN DASH}"
#: How a state or verdict is coloured: by what it asks of the reader.
_TONES = {
    "running": "good",
    "alive": "good",
    "starting": "busy",
    "queued": "busy",
    "stopping": "busy",
    "failed": "bad",
    "dead": "bad",
    "gone": "bad",
    "refused": "bad",
    "paused": "bad",
    "secret missing": "bad",
    "rate-limited": "warn",
    "resting": "warn",
    "transient": "warn",
    "loading": "warn",
    "credentials": "bad",
    "out_of_balance": "bad",
    "misconfigured": "bad",
    "throttled": "warn",
    "unknown": "warn",
    "in use": "good",
    "free": "good",
    "open": "good",
    "opening": "busy",
    "closing": "busy",
}


def instant(text: str | datetime | None) -> datetime | None:
    """Return the time that a JSON text says."""
    if isinstance(text, datetime) or text is None:
        return text
    return datetime.fromisoformat(text).astimezone(UTC)


def clock(value: str | datetime | None) -> str:
    """Return the time of day, with the date where it is not that of the reader's day in UTC."""
    at = instant(value)
    return NOTHING if at is None else f"{at:%Y-%m-%d %H:%M:%S}"


def span(seconds: float | int | None) -> str:
    """Return a duration in its two largest units."""
    return NOTHING if seconds is None else duration_text(abs(seconds))


def ago(value: str | datetime | None, now: datetime) -> str:
    """Return how far this is from now."""
    at = instant(value)
    if at is None:
        return NOTHING
    seconds = (now - at).total_seconds()
    return f"{span(seconds)} ago" if seconds >= 0 else f"in {span(seconds)}"


def amount(text: str | Decimal | None, currency: str | None = None) -> str:
    """Return money with its currency: two places, or as many as it has, and digits in groups."""
    if text is None:
        return NOTHING
    value = Decimal(text)
    shown = f"{value:,.2f}" if value == round(value, 2) else f"{value.normalize():,f}"
    return f"{shown} {currency}" if currency else shown


def number(value: int | float | None) -> str:
    """Return a number with digits in groups."""
    return NOTHING if value is None else f"{value:,}"


def tone(value: Any) -> str:
    """Return the colour of a state, a verdict or a key's state."""
    return _TONES.get(str(value).lower(), "calm")


def words(value: Any) -> str:
    """Return a name of ours as words."""
    return NOTHING if value is None else str(value).replace("_", " ")
