"""Open and close alarms about the installation itself, each with one event."""

from collections.abc import Sequence
from datetime import datetime

from orchestrator.rules.events import Event, rfc3339
from orchestrator.rules.installation.installation_alarms import (
    InstallationAlarm,
    InstallationAlarmKind,
    installation_alarm,
)
from orchestrator.store.transaction import Transaction

#: The subject of their events, and the beginning of their types.
SUBJECT, PREFIX = "installation", "orchestrator.installation"


def open_alarm(tx: Transaction, kind: InstallationAlarmKind, about: str, reason: str, now: datetime) -> None:
    """Open the alarm and send its event. If it is open already, only note that it was seen again."""
    alarm = installation_alarm(kind, about, reason, now)
    if tx.installation_alarms.open(alarm):
        tx.outbox.add([Event(type=f"{PREFIX}.{kind.value}", subject=SUBJECT, data=_payload(alarm))])


def close_alarm(tx: Transaction, kind: InstallationAlarmKind, about: str, why: str) -> bool:
    """Close the alarm and send `orchestrator.installation.recovered`. Return False where it was not open."""
    return close_alarms(tx, kind, [about], why) == 1


def close_alarms(tx: Transaction, kind: InstallationAlarmKind, about: Sequence[str], why: str) -> int:
    """Close those of several alarms that are open, each with its event; return how many."""
    closed = tx.installation_alarms.close(kind, *about)
    for alarm in closed:
        _send_recovered(tx, alarm, why)
    return len(closed)


def close_unseen_alarms(tx: Transaction, kind: InstallationAlarmKind, before: datetime, why: str) -> int:
    """Close the alarms of this kind that were last seen before `before`; return how many."""
    closed = tx.installation_alarms.close_unseen(kind, before)
    for alarm in closed:
        _send_recovered(tx, alarm, why)
    return len(closed)


def _send_recovered(tx: Transaction, alarm: InstallationAlarm, why: str) -> None:
    data = _payload(alarm) | {"times_seen": alarm.times_seen, "ended_by": why}
    tx.outbox.add([Event(type=f"{PREFIX}.recovered", subject=SUBJECT, data=data)])


def _payload(alarm: InstallationAlarm) -> dict[str, str | int | None]:
    return {
        "kind": alarm.kind,
        "about": alarm.about,
        "reason": alarm.reason,
        "since": rfc3339(alarm.since),
    }
