"""Checks of the machines that workers run on, and of their way to the providers."""

from typing import TYPE_CHECKING

from orchestrator.cli.shared.failures import Complaint
from orchestrator.cli.shared.reading import reading
from orchestrator.rules.installation.installation_alarms import InstallationAlarmKind

if TYPE_CHECKING:
    from orchestrator.settings import Settings


def own_faults(_settings: "Settings") -> str:
    """Check that no calls fail on a worker's own machine, before a byte leaves it."""
    return _none_open(InstallationAlarmKind.LOCAL_FAULT, "no call fails on a worker's own machine")


def network(_settings: "Settings") -> str:
    """Check that every worker reaches the providers that other workers reach."""
    return _none_open(InstallationAlarmKind.NETWORK_DOWN, "every worker reaches the providers")


def _none_open(kind: InstallationAlarmKind, well: str) -> str:
    with reading() as tx:
        alarms = tx.installation_alarms.listed(kind)
    if alarms:
        raise Complaint("\n".join(f"{alarm.about}: {alarm.reason}" for alarm in alarms))
    return well
