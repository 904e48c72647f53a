"""Watch the store's clock: alarm a jump, and correct the rows after the clock was corrected."""

from datetime import datetime

from orchestrator.flows.engine.services import Services
from orchestrator.flows.operations.correct_times import correct_times
from orchestrator.flows.upstream.alarms import close_alarm, open_alarm
from orchestrator.rules.installation import clock as rule
from orchestrator.rules.installation.clock import KnownTime
from orchestrator.rules.installation.installation_alarms import InstallationAlarmKind
from orchestrator.store.transaction import Transaction

JUMPED = InstallationAlarmKind.CLOCK_JUMPED


def watch_clock(services: Services) -> int:
    """Open the alarm of a jump, or close it after its hold. After a correction, correct the rows that lie in the
    future, until one whole pass has done so. Return how many rows were checked."""
    with services.database.reading() as tx:
        known, alarms, now = tx.clock.known(), tx.installation_alarms.listed(JUMPED), tx.now()
    if known is None:
        return 0
    if known.jumped_at is not None or alarms:
        services.database.transact(_alarm)
    return correct_rows(services, known, now) if rule.to_correct(known, now) else 0


def correct_rows(services: Services, known: KnownTime, began: datetime) -> int:
    """Run one pass over the rows, begun at this time; then save whether another is due. Return how many were
    checked."""
    passed = correct_times(services, known.shift, upkeep=rule.is_first_correction(known))
    complete = not passed.failed and not services.slots.closed

    def note(tx: Transaction) -> None:
        now_known = tx.clock.known(lock=True)
        if now_known is None or now_known.corrected_at != known.corrected_at:
            return  # the clock was corrected once more meanwhile: another pass is due
        after = rule.after_correction(now_known, began, tx.now(), complete=complete)
        if after != now_known:
            tx.clock.write(now_known, after)

    services.database.transact(note)
    return passed.claimed


def _alarm(tx: Transaction) -> None:
    known = tx.clock.known()
    if known is None:
        return
    if known.jumped_at is not None:
        open_alarm(tx, JUMPED, "", rule.in_words(known), tx.now())
    elif rule.alarm_may_end(known, tx.now()):
        close_alarm(tx, JUMPED, "", "the clock agrees with the measured time again")
