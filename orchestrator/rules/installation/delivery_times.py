"""When a job may begin, and until when: what its sender asks with Celery's eta and expires, as headers of ours.

Celery itself compares both with the clock of the worker's machine. It holds a message with an eta for hours, while it
is given to others too, and drops an expired one without an outcome. Here a worker holds a message for seconds, and the
job compares both with the store's clock."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

#: The job may begin then, at the earliest; it is refused if it has not begun by then.
NOT_BEFORE, NOT_AFTER = "orchestrator_not_before", "orchestrator_not_after"
#: The header of a retried job: seconds that the worker which takes it waits first. Unlike an eta, this does not compare
#: two clocks.
RETRY_AFTER = "orchestrator_retry_after"
#: The most of it, in seconds.
LONGEST_RETRY_AFTER = 60
#: Seconds that a worker holds a message that is not due yet, before it sends it again: far less than the time after
#: which a message that is held is given to another worker too.
LONGEST_HELD = 30.0
#: A job that asks to wait longer than this is refused.
LATEST_ETA = timedelta(days=1)


def instant(value: str) -> datetime:
    """Return an instant of a header; without a zone it is in UTC. Raises for what is none."""
    at = datetime.fromisoformat(value)
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)


def timed(fields: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """Return the headers that say when. `now`: by the clock of the machine that holds the message, which measures only
    how long it does."""
    begin = max(_given(fields, name, now) for name in ("eta", NOT_BEFORE))
    held = fields.get(RETRY_AFTER) or seconds_held(begin, now)
    headers = {"eta": (now + timedelta(seconds=held)).isoformat()} if held else {}
    for name, given in ((NOT_BEFORE, "eta"), (NOT_AFTER, "expires")):
        value = fields.get(given) or fields.get(name)
        if value is not None:
            headers[name] = instant(value).isoformat()
    return headers


def seconds_held(begin: datetime, now: datetime) -> float:
    """Return the seconds that a job which may begin then is held before it is checked again; 0 if it may begin, or
    asks to wait too long: then it is refused at once, if the store's clock says so too."""
    if begin - now > LATEST_ETA:
        return 0.0
    return min(max(0.0, (begin - now).total_seconds()), LONGEST_HELD)


def fault_of(not_before: str | None, not_after: str | None, now: datetime) -> str | None:
    """Return why a job is refused for its times, which are headers; None if it is not. `now`: by the store's clock."""
    if not_after is not None and now > instant(not_after):
        return f"the job expired at {not_after}, before it was carried out: send it again"
    if not_before is not None and instant(not_before) - now > LATEST_ETA:
        return "eta is more than a day ahead: send the job when it is due"
    return None


def _given(fields: Mapping[str, Any], name: str, otherwise: datetime) -> datetime:
    value = fields.get(name)
    return instant(value) if value else otherwise
