"""Correct rows that a clock wrote while it was ahead: once the time goes back, they have instants in the future.

An instant at which something happened, and which lies in the future, was written by the clock that was ahead: it really
happened earlier, by the same shift. An instant up to which a row waits is moved back in the same way, and to now if it
is still further ahead than anything waits."""

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar, overload

from orchestrator.rules.billing import money
from orchestrator.rules.values import Account, Lease, Placement, Session

Row = TypeVar("Row", Session, Placement, Account, Lease)

_NONE = timedelta(0)
#: Columns that say when something happened, or hold a collection of such instants.
PAST_OF_SESSION = (
    "created_at",
    "queued_at",
    "starting_at",
    "running_at",
    "running_since",
    "last_interaction_at",
    "under_way",
    "limit_reached_at",
    "last_ping_at",
    "last_alive_at",
    "failing_since",
    "gone_since",
    "expired_at",
    "loading_since",
    "unusable_since",
    "not_well_since",
    "held_since",
    "busy_since",
    "busy_warned_at",
    "deleted_at",
)
PAST_OF_PLACEMENT = (
    "created_at",
    "sent_at",
    "freed_at",
    "opened_at",
    "closing_since",
    "lost_at",
    "unproven_since",
    "asleep_since",
    "ended_at",
    "forced_at",
)
PAST_OF_ACCOUNT = ("created_at", "last_admitted_at")
#: All others: planned again from those above, brought back where they lie too far ahead, corrected by a rule of their
#: own (`corrected_stop`), or reported from outside.
ELSE_OF_SESSION = frozenset(
    {
        "queue_deadline_at",
        "declared_end_at",
        "stop_at",
        "idle_ends_at",
        "warn_at",
        "stopped_at",
        "ended_at",
        "ping_at",
        "due.at",
        "lease.since",
        "lease.until",
    }
)
ELSE_OF_PLACEMENT = frozenset({"declared_end_at", "due.at", "lease.since", "lease.until"})
ELSE_OF_ACCOUNT = frozenset({"funds_end_at", "next_charge_at", "charging_since", "due.at"})


def corrected_session(session: Session, shift: timedelta, now: datetime, longest: timedelta) -> Session:
    """Return the session as if the clock had been right; the caller plans its steps. `longest`: no ping waits longer,
    and no lease."""
    queued_ahead = session.queued_at is not None and session.queued_at > now
    deadline = session.queue_deadline_at
    after = _happened(session, PAST_OF_SESSION, shift, now)
    return replace(
        after,
        queue_deadline_at=deadline - shift if deadline is not None and queued_ahead else deadline,
        ping_at=_awaited(session.ping_at, shift, now, longest),
        lease=_lease(session.lease, shift, now, longest),
    )


def corrected_stop(session: Session, decided_at: datetime | None, shift: timedelta, now: datetime) -> Session:
    """Correct a session with a stop that took effect, or was decided, in the future: it ran until then. `decided_at`:
    by the clock that was ahead; None if that is no longer known."""
    stopped_at = session.stopped_at
    over = session.ended_at
    if stopped_at is None or not any(at is not None and at > now for at in (stopped_at, over, decided_at)):
        return _happened(session, PAST_OF_SESSION, shift, now)
    began_ahead = session.running_at is not None and session.running_at > now
    ends = [now, stopped_at - shift] if began_ahead else [now, stopped_at]
    if decided_at is not None and decided_at - shift <= now:
        ends.append(decided_at - shift)
    end = min(ends)
    lost = _NONE if began_ahead else stopped_at - end
    ran = max(0, session.ran_microseconds - lost // timedelta(microseconds=1))
    return replace(
        _happened(session, PAST_OF_SESSION, shift, now),
        stopped_at=end,
        ended_at=max(end, min(over - shift, now)) if over is not None and over > now else over,
        ran_microseconds=ran,
    )


def corrected_placement(
    placement: Placement, shift: timedelta, now: datetime, longest: timedelta
) -> Placement:
    """Return the placement as if the clock had been right. An end that its provider declared stays."""
    due = placement.due
    if due is not None and due.at != placement.declared_end_at:
        due = replace(due, at=_awaited(due.at, shift, now, longest))
    return replace(
        _happened(placement, PAST_OF_PLACEMENT, shift, now),
        lease=_lease(placement.lease, shift, now, longest),
        due=due,
    )


def corrected_account(account: Account, shift: timedelta, now: datetime, longest: timedelta) -> Account:
    """Return the account as if the clock had been right; its funds are computed when it is saved."""
    return replace(
        _happened(account, PAST_OF_ACCOUNT, shift, now),
        next_charge_at=_awaited(account.next_charge_at, shift, now, longest),
    )


def cost(session: Session, now: datetime) -> Decimal:
    """Return what the session has cost by now, whatever it was charged."""
    if session.running_since is None:
        return money.cost_if_stopped_at(session, session.stopped_at or now)
    return money.cost_by(session, now)


def _happened(row: Row, names: tuple[str, ...], shift: timedelta, now: datetime) -> Row:
    def back(at: datetime) -> datetime:
        return min(now, at - shift) if at > now else at

    noted: dict[str, Any] = {name: value for name in names if (value := getattr(row, name)) is not None}
    right: dict[str, Any] = {
        name: tuple(map(back, value)) if isinstance(value, tuple) else back(value)
        for name, value in noted.items()
    }
    return replace(row, **right) if right != noted else row


def _lease(lease: Lease | None, shift: timedelta, now: datetime, longest: timedelta) -> Lease | None:
    """Return the lease as if the clock had been right."""
    if lease is None:
        return None
    right = lease if lease.since is None else _happened(lease, ("since",), shift, now)
    return replace(right, until=_awaited(lease.until, shift, now, longest))


@overload
def _awaited(at: datetime, shift: timedelta, now: datetime, longest: timedelta) -> datetime: ...


@overload
def _awaited(at: None, shift: timedelta, now: datetime, longest: timedelta) -> None: ...


def _awaited(at: datetime | None, shift: timedelta, now: datetime, longest: timedelta) -> datetime | None:
    """Move back an instant that is too far ahead."""
    if at is None or at <= now + longest:
        return at
    back = max(now, at - shift)
    return back if back <= now + longest else now
