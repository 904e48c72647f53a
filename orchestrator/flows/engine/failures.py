"""Log the failure of one row's work: a defect with its traceback, an outage of the store in one line."""

import logging

from orchestrator.store.database import StoreOutage


def log_failure(log: logging.Logger, error: Exception, what: str) -> None:
    """Log that `what` is not done, because of `error`. An outage fails every row alike, so its traceback is left
    out."""
    if isinstance(error, StoreOutage):
        log.error("%s: %s", what, error)
    else:
        log.error(what, exc_info=error)
