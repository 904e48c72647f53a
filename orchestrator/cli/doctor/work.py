"""Checks of the scheduler and the workers: is what is due done?"""

from datetime import timedelta
from typing import TYPE_CHECKING

from orchestrator.cli.failures import Complaint
from orchestrator.cli.reading import reading
from orchestrator.cli.times import span

if TYPE_CHECKING:
    from orchestrator.settings import Settings

#: A scheduler says every second that it ticks.
_SILENT_AFTER = timedelta(seconds=10)
#: What is due is done within seconds.
_UNDONE_AFTER = timedelta(minutes=1)


def scheduler(_settings: "Settings") -> str:
    """Does one tick?"""
    from orchestrator.scheduler import LEASE

    with reading() as tx:
        seen, now = tx.leases.last_seen(LEASE), tx.now()
    if seen is None:
        raise Complaint("none ever ticked: start one (`orchestrator scheduler` or `orchestrator up`)")
    ago = span((now - seen).total_seconds())
    if now - seen > _SILENT_AFTER:
        raise Complaint(f"the last tick was {ago} ago: start one (`orchestrator scheduler`)")
    return f"ticked {ago} ago"


def overdue(_settings: "Settings") -> str:
    """Is anything that is due left undone? A worker that is missing shows as overdue steps."""
    with reading() as tx:
        now = tx.now()
        families = (tx.sessions.oldest_due(), tx.placements.oldest_due(), tx.accounts.oldest_due())
    overdue = {
        step: now - at for family in families for step, at in family.items() if now - at > _UNDONE_AFTER
    }
    if overdue:
        late = ", ".join(f"{step.value} {span(by.total_seconds())}" for step, by in sorted(overdue.items()))
        raise Complaint(f"steps are overdue ({late}): is a worker running (`orchestrator worker`)?")
    return "nothing is overdue"


def messages(_settings: "Settings") -> str:
    """Do messages wait for an operator that no worker can carry out?"""
    with reading() as tx:
        counts, newest = tx.parked.counts(), tx.parked.listed(1)
    if counts:
        waiting = ", ".join(f"{count} of {queue}" for queue, count in sorted(counts.items()))
        raise Complaint(
            f"messages cannot be carried out and are parked ({waiting}; the newest: {newest[0].reason}): look at "
            "them (`orchestrator messages list`), then remove them (`orchestrator messages drop`, or `resend`)"
        )
    return "none is parked"
