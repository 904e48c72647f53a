"""How far retention is behind, for the metrics and `doctor`."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from orchestrator.flows.upkeep import KEEP_OUTCOMES
from orchestrator.rules.retention import Lag, lag
from orchestrator.settings.configuration import Retention
from orchestrator.store.unit import Transaction


def lags(tx: Transaction, retention: Retention, now: datetime) -> Sequence[Lag]:
    """Of outcomes of jobs, events, and sessions that are over: the oldest, and by how much it is too old."""
    kept = retention.sessions_kept
    oldest = None if kept is None else tx.retention.oldest()
    return (
        lag("jobs", tx.inbox.oldest(), KEEP_OUTCOMES, now),
        lag("events", tx.outbox.oldest(), timedelta(days=retention.events_days), now),
        lag("sessions", oldest, kept, now),
    )
