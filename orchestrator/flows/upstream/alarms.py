"""Raise and end alarms about providers, keys and models, and open and close those about the installation itself: one
event when an alarm begins, and one when it ends."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from orchestrator.rules.events import Event, rfc3339
from orchestrator.rules.installation.installation_alarms import (
    InstallationAlarm,
    InstallationAlarmKind,
    installation_alarm,
)
from orchestrator.rules.upstream import alarms as rule
from orchestrator.rules.upstream.alarms import Alarm, AlarmKind, HealthyPing
from orchestrator.rules.values import Credential, Placement
from orchestrator.store.queries.credentials import Cleared
from orchestrator.store.transaction import Transaction

#: The event that ends an alarm of any kind.
RECOVERED = "orchestrator.provider.recovered"
#: Of events about the installation: their subject, and the beginning of their types.
SUBJECT, PREFIX = "installation", "orchestrator.installation"


def raise_alarm(tx: Transaction, alarm: Alarm) -> None:
    """Raise the alarm, with an event where it is new."""
    if tx.alarms.raise_(alarm):
        kind = f"orchestrator.provider.{alarm.kind.value}"
        tx.outbox.add([Event(type=kind, subject=alarm.provider, data=_payload(alarm))])


def note_open_outcome(tx: Transaction, placement: Placement, wrong: str | None, now: datetime) -> None:
    """Raise or end the alarm about the provider's own configuration, as the open has shown."""
    where = placement.provider, placement.credential, None
    found = rule.alarm(AlarmKind.MISCONFIGURED, *where, wrong or "", now)
    if wrong is not None:
        raise_alarm(tx, found)
        return
    standing = [one for one in tx.alarms.listed() if one.scope == found.scope]
    for one in standing if tx.alarms.end([one.scope for one in standing]) else ():
        _send_recovered(tx, one, "an open there found nothing wrong")


def end_with(tx: Transaction, well: Iterable[HealthyPing], now: datetime) -> None:
    """End the alarms that good pings contradict. It reads one table, which is empty while all is well."""
    standing = tx.alarms.listed()
    pings = set(well) if standing else set()
    over = {one.scope: one for one in standing if any(rule.ends_with(one, ping, now) for ping in pings)}
    for scope in sorted(tx.alarms.end(over)):
        _send_recovered(tx, over[scope], "a session there passed a ping")


def let_retry(tx: Transaction) -> int:
    """Let the next session in need try refused models again, and delete alarms that were not seen for long."""
    now = tx.now()
    for alarm in tx.alarms.forget(now - rule.FORGOTTEN_AFTER):
        _send_recovered(tx, alarm, "it was not seen for a day")
    tx.rate_limits.forget(now - rule.FORGOTTEN_AFTER)
    due = tx.alarms.let_retry(now)
    for alarm in due:
        tx.queues.wake_waiting_for_provider(alarm.provider, now)
    return len(due)


def announce_cleared(tx: Transaction, replaced: Cleared) -> None:
    """End the alarms about a credential: its reference has a new secret."""
    for credential in replaced.freed:
        announce_freed_key(tx, credential, "its reference has a new secret")
    for alarm in replaced.ended:
        _send_recovered(tx, alarm, "its reference has a new secret")


def announce_freed_key(tx: Transaction, credential: Credential, why: str) -> None:
    """Announce that a paused key takes placements again, and wake one of the sessions that wait for it."""
    data = {
        "kind": "credential_paused",
        "provider": credential.provider,
        "credential": credential.ref,
        "model": None,
        "reason": credential.paused_reason,
        "since": rfc3339(credential.paused_since),
        "ended_by": why,
    }
    tx.outbox.add([Event(type=RECOVERED, subject=credential.provider, data=data)])
    tx.queues.wake_waiting_for_provider(credential.provider, tx.now(), credential=credential.ref)


def _send_recovered(tx: Transaction, alarm: Alarm, why: str) -> None:
    tx.outbox.add([Event(type=RECOVERED, subject=alarm.provider, data=_payload(alarm) | {"ended_by": why})])
    if alarm.model_id is not None:
        tx.queues.wake_waiting_for_provider(alarm.provider, tx.now())


def _payload(alarm: Alarm) -> dict[str, str | None]:
    return {
        "kind": alarm.kind.value,
        "provider": alarm.provider,
        "credential": alarm.credential,
        "model": alarm.model_id,
        "reason": alarm.reason,
        "since": rfc3339(alarm.since),
    }


def open_alarm(tx: Transaction, kind: InstallationAlarmKind, about: str, reason: str, now: datetime) -> None:
    """Open the alarm and send its event. If it is open already, only note that it was seen again."""
    alarm = installation_alarm(kind, about, reason, now)
    if tx.installation_alarms.open(alarm):
        tx.outbox.add(
            [Event(type=f"{PREFIX}.{kind.value}", subject=SUBJECT, data=_installation_payload(alarm))]
        )


def close_alarm(tx: Transaction, kind: InstallationAlarmKind, about: str, why: str) -> bool:
    """Close the alarm and send `orchestrator.installation.recovered`. Return False if it was not open."""
    return close_alarms(tx, kind, [about], why) == 1


def close_alarms(tx: Transaction, kind: InstallationAlarmKind, about: Sequence[str], why: str) -> int:
    """Close those of several alarms that are open, each with its event; return how many."""
    closed = tx.installation_alarms.close(kind, *about)
    for alarm in closed:
        _send_installation_recovered(tx, alarm, why)
    return len(closed)


def close_unseen_alarms(tx: Transaction, kind: InstallationAlarmKind, before: datetime, why: str) -> int:
    """Close the alarms of this kind that were last seen before `before`; return how many."""
    closed = tx.installation_alarms.close_unseen(kind, before)
    for alarm in closed:
        _send_installation_recovered(tx, alarm, why)
    return len(closed)


def _send_installation_recovered(tx: Transaction, alarm: InstallationAlarm, why: str) -> None:
    data = _installation_payload(alarm) | {"times_seen": alarm.times_seen, "ended_by": why}
    tx.outbox.add([Event(type=f"{PREFIX}.recovered", subject=SUBJECT, data=data)])


def _installation_payload(alarm: InstallationAlarm) -> dict[str, str | int | None]:
    return {
        "kind": alarm.kind,
        "about": alarm.about,
        "reason": alarm.reason,
        "since": rfc3339(alarm.since),
    }
