"""When a job may begin, and until when, by the store's clock."""

from orchestrator.flows.engine.services import Services
from orchestrator.rules.installation.delivery_times import fault_of, instant, seconds_held
from orchestrator.rules.refusals import ErrorCode, Refusal
from orchestrator.store.transaction import Precondition, Transaction


class NotDueYet(Exception):
    """The job may not begin yet; look again after this many seconds."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds


def needs_due(services: Services, not_before: str | None) -> None:
    """Raise NotDueYet for a job that may not begin yet. `not_before`: as its checked header has it."""
    if not_before is None:
        return
    with services.database.reading() as tx:
        seconds = seconds_held(instant(not_before), tx.now())
    if seconds:
        raise NotDueYet(seconds)


def in_time(not_before: str | None, not_after: str | None) -> Precondition | None:
    """Return the condition that a job has not expired, and does not ask to wait too long; None for one that names no
    time. A job that has an outcome keeps it."""
    if not_before is None and not_after is None:
        return None

    def check(tx: Transaction) -> None:
        fault = fault_of(not_before, not_after, tx.now())
        if fault is not None:
            raise Refusal(ErrorCode.INVALID_REQUEST, fault, faults=[])

    return check
