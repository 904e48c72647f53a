"""Derive the events of a change from the difference between before and after, so that no change lacks its event."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from orchestrator.rules.states import State, StopReason
from orchestrator.rules.values import Account, Placement, Session, Usable
from orchestrator.rules.values.amounts import money_text
from orchestrator.rules.values.budgets import newly_reached
from orchestrator.rules.values.doubts import is_in_doubt

PREFIX = "orchestrator"
#: Who changed a session, by which job.
CHANGED = f"{PREFIX}.session.changed"


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """What happened. `subject` is the id of the session, account or provider."""

    type: str
    subject: str
    data: Mapping[str, Any]


def of_session(before: Session | None, after: Session) -> list[Event]:
    """Return the events of a session's change, in the order in which they happened."""
    kinds = list(_session_kinds(before, after))
    if not kinds:
        return []
    data = _session_data(before, after)
    if before is None:
        return list(_at_creation(kinds, data, after))
    return [_session_event(kind, after, data) for kind in kinds]


def concern_session(before: Usable, after: Usable) -> bool:
    """Return whether a session's change has events."""
    return any(True for _ in _session_kinds(before, after))


def of_account(before: Account, after: Account, now: datetime) -> list[Event]:
    """Return `budget_reached`, once for each threshold of a budget in its period, and `low_balance`, once for each
    warning of a shortage."""
    return [*_budget_events(before, after), *_low_balance(before, after, now)]


def _budget_events(before: Account, after: Account) -> Iterator[Event]:
    for budget in after.budgets:
        for percent in newly_reached(before.budgets, budget):
            data = {
                "account_id": after.id,
                "period": budget.period.value,
                "since": None if budget.since is None else budget.since.isoformat(),
                "percent": percent,
                "budget": money_text(budget.amount),
                "currency": after.currency,
            }
            yield Event(type=f"{PREFIX}.account.budget_reached", subject=after.id, data=data)


def _low_balance(before: Account, after: Account, now: datetime) -> list[Event]:
    """A warning may come with less time left than its threshold."""
    if after.warned_seconds is None or after.warned_seconds == before.warned_seconds:
        return []
    if after.funds_end_by is not None:
        return []  # `expiring` of the sessions that the budget ends
    end = after.funds_end_at or now
    data = {
        "account_id": after.id,
        "seconds_left": max(0, round((end - now).total_seconds())),
        "threshold_seconds": after.warned_seconds,
        "funds_end_at": rfc3339(after.funds_end_at),
        "balance": money_text(after.balance),
        "currency": after.currency,
    }
    return [Event(type=f"{PREFIX}.account.low_balance", subject=after.id, data=data)]


def of_placement(before: Placement | None, after: Placement) -> list[Event]:
    """Return `unproven` when a close was tried without proof, and `close_forced` when an operator ended the placement
    without it; for an orphan, one event each when it is found, unproven, and closed."""
    if after.session_id is None:
        return list(_orphan_events(before, after))
    kinds = []
    if after.unproven_since is not None and (before is None or before.unproven_since is None):
        kinds.append("session.unproven")
    if after.forced_at is not None and (before is None or before.forced_at is None):
        kinds.append("session.close_forced")
    return [_placement_event(kind, after.session_id, after) for kind in kinds]


def rfc3339(at: datetime | None) -> str | None:
    """Return a time as other services read it."""
    return None if at is None else at.isoformat().replace("+00:00", "Z")


def _at_creation(kinds: Sequence[str], data: Mapping[str, Any], after: Session) -> Iterator[Event]:
    """Yield `created`, with that state, and the state that the session enters at once."""
    created, *entered = kinds
    yield _session_event(created, after, {**data, "state": State.CREATED.value})
    for kind in entered:
        yield _session_event(kind, after, {**data, "previous_state": State.CREATED.value})


def _session_event(kind: str, after: Session, data: Mapping[str, Any]) -> Event:
    return Event(type=f"{PREFIX}.session.{kind}", subject=after.id, data=data)


def _session_kinds(before: Usable | None, after: Usable) -> Iterator[str]:
    if before is None:
        yield "created"
        if after.state is not State.CREATED:
            yield after.state.value
        return
    if before.state is not after.state:
        failed_over = before.state is State.RUNNING and after.state is State.STARTING
        yield "failed_over" if failed_over else after.state.value
    elif after.state in {State.STARTING, State.RUNNING}:
        yield from _health_kinds(before, after)
    if after.deleted_at is not None and before.deleted_at is None:
        yield "deleted"


def _health_kinds(before: Usable, after: Usable) -> Iterator[str]:
    doubted, doubtful = is_in_doubt(before), is_in_doubt(after)
    if after.state is State.RUNNING and doubted != doubtful:
        yield "suspect" if doubtful else "recovered"
    if after.busy_warned_at is not None and before.busy_warned_at is None:
        yield "busy"
    if after.warned_seconds is not None and after.warned_seconds != before.warned_seconds:
        yield "expiring"


def _session_data(before: Session | None, after: Session) -> dict[str, Any]:
    data: dict[str, Any] = {
        "session_id": after.id,
        "account_id": after.account_id,
        "name": after.name,
        "model_id": after.model_id,
        "state": after.state.value,
        "previous_state": before.state.value if before else None,
        "provider": after.provider,
        "interactions": after.interactions,
        "stop_at": rfc3339(after.ends_at),
        "stop_at_reason": after.stop_at_reason,
        "extendable_until": rfc3339(after.extendable_until),
        "stop_reason": after.stop_reason,
        "stop_detail": after.stop_detail,
        "charged": money_text(after.charged),
        "currency": after.currency,
    }
    if after.last_verdict is not None:
        data["last_ping"] = {
            "at": rfc3339(after.last_ping_at),
            "verdict": after.last_verdict.value,
            "latency_ms": after.last_latency_ms,
            "detail": after.last_ping_detail,
        }
    if after.state is State.QUEUED:
        data["queue_reason"] = after.queue_reason
    if after.busy_since is not None:
        data["busy_since"] = rfc3339(after.busy_since)
    if after.warned_seconds is not None:
        data["seconds_left"] = after.warned_seconds
    if before is not None:
        data |= _end_of_run(before, after)
    return data


def _end_of_run(before: Session, after: Session) -> dict[str, Any]:
    """Return until when the RUNNING time that ends here is charged, and whether a brake changed that."""
    if before.running_since is None or after.running_since is not None:
        return {}
    ran = timedelta(microseconds=after.ran_microseconds - before.ran_microseconds)
    data: dict[str, Any] = {"paid_until": rfc3339(before.running_since + ran)}
    if before.held_since is not None:
        data["held_since"] = rfc3339(before.held_since)
        data["last_alive_at"] = rfc3339(before.last_alive_at)
    return data


def _orphan_events(before: Placement | None, after: Placement) -> Iterator[Event]:
    if before is None:
        yield _placement_event("provider.orphan_found", after.provider, after)
    elif before.ended_at is None and after.ended_at is not None:
        yield _placement_event("provider.orphan_closed", after.provider, after)
    elif before.unproven_since is None and after.unproven_since is not None:
        yield _placement_event("provider.orphan_unproven", after.provider, after)


def _placement_event(kind: str, subject: str, placement: Placement) -> Event:
    data = {
        "placement_id": placement.id,
        "session_id": placement.session_id,
        "provider": placement.provider,
        "credential": placement.credential,
        "handle": placement.handle,
        "last_answer": placement.last_answer,
        "since": rfc3339(placement.unproven_since or placement.closing_since),
        "proof": placement.proof,
        "forced_by": placement.forced_by,
        "forced_why": placement.forced_why,
    }
    return Event(type=f"{PREFIX}.{kind}", subject=subject, data=data)


def ownership_lost(placement: Placement, foreign: str) -> Event:
    """Return the event for a foreign session under an exclusive key: another program uses the key too."""
    data = {
        "provider": placement.provider,
        "credential": placement.credential,
        "session_id": placement.session_id,
        "placement_id": placement.id,
        "handle": placement.handle,
        "foreign_handle": foreign,
    }
    return Event(type=f"{PREFIX}.provider.ownership_lost", subject=placement.provider, data=data)


def changed(session_id: str, account_id: str) -> Event:
    """Return the event of a change that no other event reports; `by_job` says who made it."""
    return Event(type=CHANGED, subject=session_id, data={"session_id": session_id, "account_id": account_id})


def by_job(event: Event, job: str, author: str, arguments: Mapping[str, Any]) -> Event:
    """Return the event with who caused it, by which job. `arguments`: how it was changed."""
    change = {"job": job, "author": author, "arguments": dict(arguments)}
    return replace(event, data={**event.data, "change": change})


def expiring(session: Session, at: datetime, reason: StopReason, now: datetime) -> Event:
    """Return the warning of a stop at `at` that is not the session's own: the account's."""
    left = max(0, round((at - now).total_seconds()))
    data = _session_data(session, session)
    data |= {"stop_at": rfc3339(at), "stop_at_reason": reason, "seconds_left": left, "extendable_until": None}
    return _session_event("expiring", session, data)


def exhausted(account: Account, session: Session) -> Event:
    """Return the event for a balance that cannot pay this session's next block."""
    data = {"account_id": account.id, "session_id": session.id, "balance": money_text(account.balance)}
    return Event(type=f"{PREFIX}.account.exhausted", subject=account.id, data=data)


def credited(account: Account, amount: str, key: str) -> Event:
    """Return the event for a credit; `balance`: after it."""
    data = _moved(account, amount, key)
    return Event(type=f"{PREFIX}.account.credited", subject=account.id, data=data)


def debited(account: Account, amount: str, key: str, reason: str, author: str) -> Event:
    """Return the event for a debit; `balance`: after it."""
    data = _moved(account, amount, key) | {"reason": reason, "author": author}
    return Event(type=f"{PREFIX}.account.debited", subject=account.id, data=data)


def _moved(account: Account, amount: str, key: str) -> dict[str, str]:
    return {
        "account_id": account.id,
        "amount": amount,
        "key": key,
        "balance": money_text(account.balance),
        "currency": account.currency,
    }
