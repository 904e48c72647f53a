"""Alarms are raised once, with an event, and end with the first good ping that contradicts them."""

from collections.abc import Iterable

from orchestrator.rules import alarms as rule
from orchestrator.rules.alarms import Alarm, Well
from orchestrator.rules.events import Event, rfc3339
from orchestrator.store.unit import Transaction


def raised(tx: Transaction, alarm: Alarm) -> None:
    """It stands; whoever raises it first tells of it."""
    if tx.alarms.raise_(alarm):
        tx.outbox.add([_event(alarm.kind.value, alarm)])


def end_with(tx: Transaction, well: Iterable[Well]) -> None:
    """Good pings end what they contradict. One look at a table that is empty while all is well."""
    standing = tx.alarms.listed()
    pings, now = set(well) if standing else set(), tx.now()
    over = {one.scope: one for one in standing if any(rule.ends_with(one, ping, now) for ping in pings)}
    for scope in sorted(tx.alarms.end(over)):
        _well_again(tx, over[scope])


def let_retry(tx: Transaction) -> int:
    """Models that wait for their key are tried again by whoever comes next; what nobody uses is forgotten."""
    now = tx.now()
    tx.alarms.forget(now - rule.FORGOTTEN_AFTER)
    due = tx.alarms.let_retry(now)
    for alarm in due:
        tx.queues.make_waiting_for_provider_due(alarm.provider, now)
    return len(due)


def _well_again(tx: Transaction, alarm: Alarm) -> None:
    tx.outbox.add([_event("recovered", alarm)])
    if alarm.model_id is not None:
        tx.queues.make_waiting_for_provider_due(alarm.provider, tx.now())


def _event(name: str, alarm: Alarm) -> Event:
    data = {
        "kind": alarm.kind.value,
        "provider": alarm.provider,
        "credential": alarm.credential,
        "model": alarm.model_id,
        "reason": alarm.reason,
        "since": rfc3339(alarm.since),
    }
    return Event(type=f"orchestrator.provider.{name}", subject=alarm.provider, data=data)
