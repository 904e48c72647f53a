"""Watch the store's clock: alarm a jump, and put right what a corrected clock leaves behind."""

from datetime import timedelta

from orchestrator.flows.correct_times import correct_times
from orchestrator.flows.installation_alarms import close_alarm, open_alarm
from orchestrator.flows.services import Services
from orchestrator.rules import clock as rule
from orchestrator.rules.installation_alarms import InstallationAlarmKind
from orchestrator.store.unit import Transaction

JUMPED = InstallationAlarmKind.CLOCK_JUMPED
#: Every process hears of a correction within seconds, and may write by the time before until then.
CORRECT_FOR = timedelta(seconds=20)


def watch_clock(services: Services) -> int:
    """Open the alarm of a jump, or close it after its hold; for a while after a correction, put right the rows that
    lie in the future. Return how many were."""
    with services.database.reading() as tx:
        known, alarms, now = tx.clock.known(), tx.installation_alarms.listed(JUMPED), tx.now()
    if known is None:
        return 0
    if known.jumped_at is not None or alarms:
        services.database.transact(_alarm)
    corrected = known.corrected_at
    if known.jumped_at is not None or corrected is None or abs(now - corrected) > CORRECT_FOR:
        return 0
    return correct_times(services, known.shift)


def _alarm(tx: Transaction) -> None:
    known = tx.clock.known()
    if known is None:
        return
    if known.jumped_at is not None:
        open_alarm(tx, JUMPED, "", rule.in_words(known), tx.now())
    elif rule.alarm_may_end(known, tx.now()):
        close_alarm(tx, JUMPED, "", "the clock agrees with the measured time again")
