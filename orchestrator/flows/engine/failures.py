"""How the failure of one row's work is told: a defect with its trace, a store that is down in one line."""

import logging

from orchestrator.store.database import StoreOutage


def log_failure(log: logging.Logger, error: Exception, what: str) -> None:
    """`what` is not done, because of `error`; an outage fails every row alike, and its trace says nothing new."""
    if isinstance(error, StoreOutage):
        log.error("%s: %s", what, error)
    else:
        log.error(what, exc_info=error)
