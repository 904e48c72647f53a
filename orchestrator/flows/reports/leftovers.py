"""List what may still cost money because its close is not proven: closes, orphans, forced closes."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from orchestrator.flows.reports import views
from orchestrator.rules.events import rfc3339
from orchestrator.rules.states import State
from orchestrator.rules.values import Placement
from orchestrator.store.transaction import Transaction


def of_close(placement: Placement, now: datetime) -> dict[str, Any]:
    """Return one placement's close: how long, how often tried, the last answer, what it may have cost."""
    since = placement.unproven_since or placement.closing_since or placement.created_at
    return {
        "id": placement.session_id or placement.id,
        "orphan": placement.session_id is None,
        "placement_id": placement.id,
        "session_id": placement.session_id,
        "account_id": placement.account_id,
        "provider": placement.provider,
        "credential": placement.credential,
        "handle": placement.handle,
        "state": placement.state.value,
        "unproven_since": rfc3339(since) if placement.ended_at is None else None,
        "age_seconds": int(((placement.ended_at or now) - since).total_seconds()),
        "attempts": placement.attempts,
        "last_answer": placement.last_answer,
        "proof": placement.proof,
        "money_at_risk": views.as_text(views.at_risk(placement, now)),
        "currency": placement.currency,
        "next_try_at": rfc3339(placement.due.at if placement.due else None),
        "possible_orphans": placement.possible_orphans,
        "orphans_at_most": views.orphans_of(placement),
        "forced": views.forced(placement),
    }


def listed(
    tx: Transaction,
    now: datetime,
    *,
    account_id: str | None = None,
    states: Collection[State] = (),
    only_forced: bool = False,
    limit: int = 100,
) -> list[dict[str, Any]]:
    """Return closes without proof, oldest first, then those that were forced, newest first: each with its session's
    fields where it has a session. An orphan has no session's state, and an account only where it is known."""
    forced = tx.leftovers.forced(limit, account_id=account_id, states=states)
    found = [
        one
        for one in [*([] if only_forced else tx.placements.unproven()), *forced]
        if account_id in (None, one.account_id)
    ]
    if not states:
        found = found[:limit]
    sessions = tx.sessions.of({one.session_id for one in found if one.session_id})
    if states:
        kept = {session_id for session_id, session in sessions.items() if session.state in states}
        found = [one for one in found if one.session_id in kept][:limit]
    shown = [sessions[one] for one in {one.session_id: None for one in found} if one in sessions]
    views_of = {view["id"]: view for view in views.of_sessions(tx, shown, now)}
    return [_entry(one, views_of.get(one.session_id or ""), now) for one in found]


def orphans(tx: Transaction, now: datetime, provider: str | None = None) -> list[dict[str, Any]]:
    """Return the known resources at providers without a session of ours, oldest first; then the opens that may have
    left more than we know of."""
    rows = tx.leftovers.orphans()
    certain = [of_close(row, now) for row in rows if provider in (None, row.provider)]
    return certain + possible(tx, now, provider)


def possible(tx: Transaction, now: datetime, provider: str | None = None) -> list[dict[str, Any]]:
    """Return opens that may have left more at their provider than we know of, newest first."""
    rows = tx.leftovers.possible_orphans(now)
    return [_of_possible(row, now) for row in rows if provider in (None, row.provider)]


def _of_possible(placement: Placement, now: datetime) -> dict[str, Any]:
    risk = views.as_text(views.orphans_at_risk(placement, now))
    return of_close(placement, now) | {"money_at_risk": risk}


def _entry(placement: Placement, session: Mapping[str, Any] | None, now: datetime) -> dict[str, Any]:
    """Return a close; with the fields of its session, where it has one."""
    close = of_close(placement, now)
    if session is None:
        return close
    close["placement_state"] = close.pop("state")
    return {**session, **close}
