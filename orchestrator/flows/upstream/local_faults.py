"""Count and alarm failures of this worker's own machine. They show nothing about a platform."""

from collections.abc import Iterable

from orchestrator.flows.engine.services import Services
from orchestrator.flows.upstream.alarms import close_unseen_alarms, open_alarm
from orchestrator.observability import metrics
from orchestrator.rules.installation.installation_alarms import InstallationAlarmKind
from orchestrator.rules.states import Step
from orchestrator.rules.upstream.local_faults import OVER_AFTER, REMEDIES, LocalFault
from orchestrator.store.transaction import Transaction


def count(faults: Iterable[LocalFault]) -> None:
    """Add to the counter of each kind."""
    for fault in faults:
        metrics.LOCAL_FAULTS.labels(fault.value).inc()


def alarm(services: Services, tx: Transaction, provider: str, fault: LocalFault, detail: str) -> None:
    """Open the alarm of this machine's fault, or note at intervals that the fault continues."""
    now = tx.now()
    if not services.cooldowns.take_turn(fault, now):
        return
    about = f"{fault.value} on {services.host}"
    reason = f"{REMEDIES[fault]} (seen at {provider}: {detail})"
    open_alarm(tx, InstallationAlarmKind.LOCAL_FAULT, about, reason, now)


def note_answer(services: Services, step: Step, provider: str, fault: LocalFault, said: object) -> None:
    """Count and alarm the fault of a call that opens, resolves or closes, and begin a cooldown of the provider."""

    def note(tx: Transaction) -> None:
        services.cooldowns.begin(step, provider, tx.now())
        alarm(services, tx, provider, fault, str(said))

    count([fault])
    services.database.transact(note)


def end_alarms(services: Services) -> int:
    """Close the alarms of faults that were not seen for a while; return how many."""
    why = f"it was not seen for {OVER_AFTER.total_seconds():.0f} s"

    def end(tx: Transaction) -> int:
        return close_unseen_alarms(tx, InstallationAlarmKind.LOCAL_FAULT, tx.now() - OVER_AFTER, why)

    return services.database.transact(end)
