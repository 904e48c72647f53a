"""When users are warned: of the stop of a session, and of the end of an account's funds."""

from datetime import datetime, timedelta

from orchestrator.rules.values import Policy


def next_warning(
    stop_at: datetime,
    warned_seconds: int | None,
    policy: Policy,
    now: datetime,
    *,
    known_at: datetime | None = None,
) -> tuple[datetime, int] | None:
    """Return when to warn next of `stop_at`, and which threshold that is; None if no warning is left.

    Thresholds that had passed at `known_at`, when `stop_at` became known, are skipped, not sent late. One that has
    passed since then is due now, with its own instant in the past. If there are several such, only the nearest is due;
    the larger ones would repeat it."""
    left = max(0.0, (stop_at - now).total_seconds())
    bounds = [t for t in policy.warn_before_stop_seconds if warned_seconds is None or t < warned_seconds]
    unsent = [t for t in bounds if known_at is None or t <= max(0.0, (stop_at - known_at).total_seconds())]
    if left <= 0 or not unsent:
        return None
    threshold = min((t for t in unsent if t >= left), default=max(unsent))
    return stop_at - timedelta(seconds=threshold), threshold
