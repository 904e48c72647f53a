"""Start while other systems are down: wait for the database, start without the broker, and log both."""

import logging
import time
from collections.abc import Callable

from orchestrator.client.sender import BrokerRefused, BrokerUnreachable, check_broker
from orchestrator.settings import Settings
from orchestrator.store.core.error_classes import ErrorClass
from orchestrator.store.database import StoreOutage, StoreUnavailable
from orchestrator.tasks.failure_log import FailureLog

log = logging.getLogger(__name__)

#: Seconds between two attempts.
EVERY = 1.0
#: What an operator must correct before the same settings can work. Everything else passes.
_WRONG = frozenset({ErrorClass.MISSING, ErrorClass.NO_RIGHTS, ErrorClass.NOT_MIGRATED})


def wait_for_database(
    check: Callable[[], None],
    *,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Return once `check` succeeds. Raises StoreUnavailable if waiting would not help."""
    failures, began, waited = FailureLog(clock), clock(), False
    while True:
        try:
            check()
        except StoreUnavailable as error:
            if not passes(error):
                raise
            failures.log_failure(f"waiting for the database before starting: {error}")
            waited = True
            sleep(EVERY)
        else:
            if waited:
                log.warning("the database answers after %.0f s: starting", clock() - began)
            return


def passes(error: StoreUnavailable) -> bool:
    """Return whether the failure can end without a change of the settings: the database is down, full or busy."""
    outage = error.__cause__
    return isinstance(outage, StoreOutage) and outage.meaning not in _WRONG


def probe_broker(settings: Settings) -> None:
    """Log a broker that does not answer. Due work is done without it; jobs and events wait for it. Raises
    BrokerRefused where the settings are wrong."""
    try:
        check_broker(settings.broker_url, sentinel_master=settings.sentinel_master)
    except BrokerRefused:
        raise
    except BrokerUnreachable as error:
        log.warning("%s. Starting without it: due work is done, jobs and events wait", error)
