"""How the failure of one row's work is told: a defect with its trace, a store that is down in one line."""

import logging

from orchestrator.store.database import STORE_DOWN


def tell(log: logging.Logger, error: Exception, what: str) -> None:
    """`what` is not done, because of `error`; an outage fails every row alike, and its trace says nothing new."""
    if isinstance(error, STORE_DOWN):
        cause = getattr(error, "orig", None) or error
        log.error("%s: the store is down (%s)", what, type(cause).__name__)
    else:
        log.error(what, exc_info=error)
