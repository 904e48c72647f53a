"""Postpone rows that cannot be read, so that they do not block the claims of others. Another release, or a person,
wrote them."""

import logging
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TypeVar

from orchestrator.flows.engine.services import Services
from orchestrator.rules.states import Step
from orchestrator.store.transaction import Transaction
from orchestrator.store.unreadable import is_about_a_row, set_aside

T = TypeVar("T")
log = logging.getLogger(__name__)

#: An unreadable row is tried again after this: perhaps a worker of the other release has come back.
AGAIN_AFTER = timedelta(minutes=5)


def claim_the_readable(
    services: Services, step: Step, provider: str, claim: Callable[[], Sequence[T]]
) -> Sequence[T]:
    """Return what `claim` takes, in one transaction. Where it meets an unreadable row, postpone that row and claim
    again."""
    try:
        return claim()
    except Exception as error:
        if not (is_about_a_row(error) and _put_off(services, step, provider)):
            raise
    return claim()


def _put_off(services: Services, step: Step, provider: str) -> bool:
    """Postpone the unreadable rows; return whether there was any."""

    def put_off(tx: Transaction) -> Sequence[str]:
        now = tx.now()
        return set_aside(tx.connection, step, provider, now, now + AGAIN_AFTER)

    bad = services.database.transact(put_off)
    if not bad:
        return False
    log.error(
        "%s: %d rows cannot be read and are put off: %s; `orchestrator audit` says what is wrong with them",
        step,
        len(bad),
        ", ".join(bad[:10]),
    )
    return True
