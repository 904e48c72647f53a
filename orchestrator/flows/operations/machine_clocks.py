"""Raise an alarm for a machine with a wall clock that differs from the store's, as its processes report it."""

from collections.abc import Sequence

from orchestrator.flows.engine.services import Services
from orchestrator.flows.upstream.alarms import close_alarm, open_alarm
from orchestrator.rules.installation import liveness
from orchestrator.rules.installation.installation_alarms import InstallationAlarmKind
from orchestrator.rules.values import Worker
from orchestrator.store.transaction import Transaction

OFFSET = InstallationAlarmKind.CLOCK_OFFSET


def alarm_off_clocks(services: Services) -> int:
    """Open an alarm for each host with a wrong clock, and close it once the clock agrees or no process there reports.
    Return how many are open."""
    with services.database.reading() as tx:
        due = bool(liveness.off_clocks(_reporting(tx), tx.now()) or tx.installation_alarms.listed(OFFSET))

    def alarm(tx: Transaction) -> int:
        return _open_and_close(tx)

    return services.database.transact(alarm) if due else 0


def _open_and_close(tx: Transaction) -> int:
    workers, now = _reporting(tx), tx.now()
    alarmed = {alarm.about for alarm in tx.installation_alarms.listed(OFFSET)}
    off = liveness.off_hosts(workers, now, alarmed)
    for host, worst in sorted(off.items()):
        open_alarm(tx, OFFSET, host, liveness.offset_in_words(worst), now)
    alive = {one.host for one in liveness.alive(workers, now)}
    for host in sorted(alarmed - off.keys()):
        why = "its clock agrees with the database's again" if host in alive else "no process there reports"
        close_alarm(tx, OFFSET, host, why)
    return len(off)


def _reporting(tx: Transaction) -> Sequence[Worker]:
    return tx.workers.listed(since=tx.now() - liveness.GONE_AFTER)
