"""Checks of the work itself: whether due work is done, and every message can be carried out."""

from datetime import timedelta
from typing import TYPE_CHECKING

from orchestrator.cli.shared.failures import Complaint
from orchestrator.cli.shared.reading import reading
from orchestrator.rules.durations import duration_text
from orchestrator.rules.webhooks import unmatched

if TYPE_CHECKING:
    from orchestrator.settings import Settings

#: What is due is done within seconds.
_UNDONE_AFTER = timedelta(minutes=1)
#: A receiver of events may be down for this long without a finding.
_NOT_TAKEN_AFTER = timedelta(minutes=15)


def overdue(_settings: "Settings") -> str:
    """Check that no due step is overdue. A missing worker shows as overdue steps."""
    with reading() as tx:
        now = tx.now()
        families = (tx.sessions.oldest_due(), tx.placements.oldest_due(), tx.accounts.oldest_due())
    overdue = {
        step: now - at for family in families for step, at in family.items() if now - at > _UNDONE_AFTER
    }
    if overdue:
        late = ", ".join(
            f"{step.value} {duration_text(by.total_seconds())}" for step, by in sorted(overdue.items())
        )
        raise Complaint(f"steps are overdue ({late}): is a worker running (`orchestrator worker`)?")
    return "nothing is overdue"


def retention(settings: "Settings") -> str:
    """Check that what is kept for a limited time is deleted or archived when that time is over."""
    from orchestrator import wiring
    from orchestrator.flows.reports.retention_lags import lags

    configuration = wiring.read_configuration(settings)
    with reading() as tx:
        now = tx.now()
        found = lags(tx, configuration, now)
    late = [f"{one.of} by {duration_text(one.behind.total_seconds())}" for one in found if one.is_red]
    if late:
        raise Complaint(
            f"retention is behind ({', '.join(late)}): does a worker of kind control run, and what does its "
            "log say about orchestrator.tick.archive, .delete_ended, .outcomes and .forget_events?"
        )
    ages = [(one.of, now - one.oldest_at) for one in found if one.oldest_at is not None]
    oldest = ", ".join(f"{of} {duration_text(max(0.0, age.total_seconds()))}" for of, age in ages)
    return f"nothing is kept beyond its time; the oldest: {oldest}" if oldest else "nothing is stored yet"


def messages(_settings: "Settings") -> str:
    """Check that no message waits for an operator because no worker can carry it out."""
    with reading() as tx:
        counts, newest = tx.parked.counts(), tx.parked.listed(1)
    if counts:
        waiting = ", ".join(f"{count} of {queue}" for queue, count in sorted(counts.items()))
        raise Complaint(
            f"messages cannot be carried out and are parked ({waiting}; the newest: {newest[0].reason}): read "
            "them (`orchestrator messages list`), then remove them (`orchestrator messages drop`, or "
            "`resend`)"
        )
    return "no message is parked"


def webhooks(_settings: "Settings") -> str:
    """Check that no webhook has given events up, that none has failed for long, and that each type can happen."""
    from orchestrator.client.event_resources import EVENTS

    with reading() as tx:
        now, found = tx.now(), tx.webhooks.listed()
        backlogs = {one.name: tx.webhooks.backlog(one.name) for one in found}
    given_up = [f"{name} {one.dead}" for name, one in backlogs.items() if one.dead]
    late = [
        f"{one.name} since {duration_text((now - oldest).total_seconds())} ({one.last_answer or 'not tried'})"
        for one in found
        if one.active
        and (oldest := backlogs[one.name].oldest) is not None
        and now - oldest > _NOT_TAKEN_AFTER
    ]
    idle = [
        f"no event has the type {', '.join(types)} of {one.name}: docs/events.md lists all"
        for one in found
        if (types := unmatched(one.event_types, EVENTS))
    ]
    what = [f"events were given up ({', '.join(given_up)})"] if given_up else []
    what += [f"events do not arrive ({', '.join(late)})"] if late else []
    if what:
        what[-1] += (
            ": `orchestrator webhook list` shows what the receivers answer, `webhook test NAME` tries one, and"
            " `webhook replay NAME` sends again what was given up"
        )
    if what or idle:
        raise Complaint("; ".join((*idle, *what)))
    return f"{len(found)} receive events" if found else "no webhook is configured"
