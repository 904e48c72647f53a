"""How far retention is behind, for the metrics and `doctor`."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from orchestrator.rules.installation.retention import KEEP_OUTCOMES, DeleteAfter, Lag, lag
from orchestrator.settings import Configuration
from orchestrator.store.transaction import Transaction

#: Sessions that ended and are to be deleted (`auto_delete_after_seconds`).
DELETIONS = "deletions"


def lags(tx: Transaction, configuration: Configuration, now: datetime) -> Sequence[Lag]:
    """Return how far retention is behind, by the oldest of each kind: outcomes of jobs, events, and ended sessions to
    be archived or deleted."""
    retention = configuration.retention
    kept = retention.sessions_kept
    oldest = None if kept is None else tx.retention.oldest()
    return (
        lag("jobs", tx.inbox.oldest(), KEEP_OUTCOMES, now),
        lag("events", tx.outbox.oldest(), timedelta(days=retention.events_days), now),
        lag("sessions", oldest, kept, now),
        _deletions(tx, configuration.delete_after(), now),
    )


def _deletions(tx: Transaction, after: DeleteAfter, now: datetime) -> Lag:
    """Return the largest lag of the plans that delete ended sessions."""
    found = [
        lag(DELETIONS, tx.retention.oldest_not_deleted([plan]), span, now)
        for plan, span in sorted(after.plans.items())
    ]
    if after.others is not None:
        oldest = tx.retention.oldest_not_deleted(sorted(after.own), others=True)
        found.append(lag(DELETIONS, oldest, after.others, now))
    return max(found, key=lambda one: one.behind, default=lag(DELETIONS, None, None, now))
