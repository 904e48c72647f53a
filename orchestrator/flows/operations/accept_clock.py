"""Let an operator accept the store's clock: its time is right, and every process uses it from now on."""

from orchestrator.flows.upstream.alarms import close_alarm
from orchestrator.rules.installation.clock import KnownTime
from orchestrator.rules.installation.installation_alarms import InstallationAlarmKind
from orchestrator.store.database import Database
from orchestrator.store.transaction import Transaction

ACCEPTED = "an operator accepted the clock's time"


def accept_clock(database: Database) -> KnownTime | None:
    """Accept the clock's time. Return what all processes know from now on; None if no jump is open."""

    def accept(tx: Transaction) -> KnownTime | None:
        known = tx.clock.known(lock=True)
        after = None if known is None else database.time.accepted(tx.connection, known)
        if after is None:
            return None
        tx.clock.write(known, after)
        close_alarm(tx, InstallationAlarmKind.CLOCK_JUMPED, "", ACCEPTED)
        return after

    return database.transact(accept)
