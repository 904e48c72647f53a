"""Alarms about the installation itself: clocks, messages, the network, the machines that workers run on."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class InstallationAlarmKind(StrEnum):
    """The kinds of alarms. Each value is the last part of its event's type."""

    CLOCK_JUMPED = "clock_jumped"
    """The store's clock disagrees with the time that has passed."""
    CLOCK_OFFSET = "clock_offset"
    """A process's wall clock differs from the store's clock."""
    MESSAGES_PARKED = "messages_parked"
    """Messages that cannot be read, or have no task, wait for an operator."""
    LOCAL_FAULT = "local_fault"
    """Calls fail on a worker's own machine, before a byte leaves it."""
    NETWORK_DOWN = "network_down"
    """A worker, or the whole installation, does not reach any provider."""


@dataclass(frozen=True, kw_only=True, slots=True)
class InstallationAlarm:
    """One fault of the installation that an operator must look at."""

    kind: str
    """The value of an `InstallationAlarmKind`; a newer release may raise others."""
    about: str
    """What it concerns, such as a host, a queue or a kind of fault; empty: the whole installation."""
    since: datetime
    seen_at: datetime
    """When the fault was last seen."""
    reason: str
    """What is wrong and what to do, in a sentence, without secrets."""
    times_seen: int = 1

    @property
    def scope(self) -> str:
        """The key under which it is open at most once."""
        return f"{self.kind}:{self.about}"


def installation_alarm(
    kind: InstallationAlarmKind, about: str, reason: str, now: datetime
) -> InstallationAlarm:
    """Return an alarm that is opened now."""
    return InstallationAlarm(kind=kind.value, about=about, since=now, seen_at=now, reason=reason)
