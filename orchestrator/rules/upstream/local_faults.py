"""Failures of a worker's own machine, before a byte leaves it. They show nothing of the placement that was asked."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from orchestrator.rules.backoff import backoff


class LocalFault(StrEnum):
    """The kinds of faults; each has a remedy."""

    FILES = "files"
    MEMORY = "memory"
    THREADS = "threads"
    PORTS = "ports"
    ROUTE = "route"
    RESOLVER = "resolver"
    CERTIFICATES = "certificates"
    PROXY = "proxy"
    STALLED = "stalled"
    QUEUE = "queue"


#: Kind → what is wrong, and what to do.
REMEDIES: Mapping[LocalFault, str] = {
    LocalFault.FILES: "no file descriptor is free: raise the limit (`ulimit -n`, LimitNOFILE=) or lower max_in_flight",
    LocalFault.MEMORY: "no memory is free: give this machine more, or lower max_in_flight",
    LocalFault.THREADS: "no thread can be started: raise the limit (`ulimit -u`, TasksMax=, a container's pids)",
    LocalFault.PORTS: "no local port or address is free: widen net.ipv4.ip_local_port_range, or add workers elsewhere",
    LocalFault.ROUTE: "there is no way to the network: look at interfaces, routes and the firewall of this machine",
    LocalFault.RESOLVER: "names are not resolved: look at /etc/resolv.conf and the name servers of this machine",
    LocalFault.CERTIFICATES: "no certificate authority is trusted: install the machine's CA certificates",
    LocalFault.PROXY: "the proxy of this machine does not answer: look at the proxy",
    LocalFault.STALLED: "the process stood still for seconds: give it more CPU, or look for what suspends the machine",
    LocalFault.QUEUE: "calls waited too long for a connection of their own process: lower max_in_flight or add workers",
}

#: Seconds until a process asks a provider again after a fault of its own; doubles from the first to the last.
FIRST_COOLDOWN, LONGEST_COOLDOWN = 1.0, 8.0
#: An alarm of a local fault ends when the fault was not seen for this long.
OVER_AFTER = timedelta(minutes=2)


def wait_after(fault: LocalFault | None, backoff_seconds: float) -> float:
    """Return how long a call that was not done waits. A local fault is retried soon, however often it occurred."""
    return backoff_seconds if fault is None else min(backoff_seconds, LONGEST_COOLDOWN)


def attempts_after(fault: LocalFault | None, attempts: int) -> int:
    """Return how many attempts count for the next backoff. A local fault does not count, since the platform was not
    asked."""
    return attempts if fault is None else max(attempts - 1, 0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Cooldown:
    """How long one process leaves a provider alone after faults of its own."""

    until: datetime
    times: int
    """Faults in a row; those within one cooldown count once."""

    def covers(self, now: datetime) -> bool:
        """Return whether the cooldown is in force now. A clock that was set back ends it."""
        return self.until - timedelta(seconds=LONGEST_COOLDOWN) <= now < self.until


def cooled(before: Cooldown | None, now: datetime) -> Cooldown:
    """Return the cooldown after one more fault: 1, 2, 4, then 8 seconds."""
    if before is None:
        return Cooldown(until=now + timedelta(seconds=FIRST_COOLDOWN), times=1)
    if before.covers(now):
        return before
    seconds = backoff(FIRST_COOLDOWN, before.times, LONGEST_COOLDOWN)
    return replace(before, until=now + timedelta(seconds=seconds), times=before.times + 1)
