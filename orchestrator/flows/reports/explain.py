"""Explain why a session is in its state, and what will happen next, for the operator on call."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, assert_never

from orchestrator.rules.billing.money import FundsEnd
from orchestrator.rules.events import rfc3339
from orchestrator.rules.sessions.pings import unwell_bound
from orchestrator.rules.sessions.stops import interactions_limit, next_stop
from orchestrator.rules.states import ACTIVE, State, Step, StopReason
from orchestrator.rules.upstream.brake import held_by
from orchestrator.rules.values import Policy, Session
from orchestrator.store.transaction import Transaction


def explain(tx: Transaction, session: Session, policy: Policy, now: datetime) -> dict[str, Any]:
    """Return the session's state in sentences, every rule that may stop it, earliest first, and what it has used."""
    forecast = next_stop(session, policy, _funds_end(tx, session))
    step, at = _next_step(tx, session)
    return {
        "session_id": session.id,
        "state": session.state.value,
        "because": [_because(tx, session), *_placements(tx, session)],
        "next_step": step.value if step else None,
        "next_step_at": rfc3339(at),
        "stops": [
            {
                "reason": c.reason.value,
                "at": rfc3339(c.at),
                "decided_at": rfc3339(c.decided_at),
                "detail": c.detail,
                "overdue": c.decided_at <= now,
            }
            for c in forecast.candidates
        ],
        "used": _used(session),
        "doubts": list(_doubts(tx, session, policy)) if session.state in ACTIVE else [],
    }


def _next_step(tx: Transaction, session: Session) -> tuple[Step | None, datetime | None]:
    """Return the session's own next step, or, if it waits for its placements, the first of theirs."""
    if session.next_step is not None:
        return session.next_step, session.next_step_at
    placements = tx.placements.of_session(session.id)
    waiting = [(one.next_step_at, one.next_step) for one in placements if one.next_step_at is not None]
    at, step = min(waiting, default=(None, None))
    return step, at


def _funds_end(tx: Transaction, session: Session) -> FundsEnd | None:
    account = tx.accounts.get(session.account_id)
    if account is None or account.funds_end_at is None or account.funds_session_id != session.id:
        return None
    return FundsEnd(account.funds_end_at, session.id)


def _because(tx: Transaction, session: Session) -> str:
    match session.state:
        case State.CREATED:
            return "it was created and never started: start it, or delete it"
        case State.QUEUED:
            place = tx.queues.position(session)
            return f"it is number {place} in its account's queue and waits for {session.queue_reason}"
        case State.STARTING:
            return f"placement {session.placements} at {session.provider} has not answered a ping well yet"
        case State.RUNNING:
            where = f"placement {session.placements} at {session.provider}"
            in_doubt = session.failures > 0 or session.not_well_since is not None
            return f"the last ping of {where}: {session.last_verdict}" if in_doubt else f"{where} answers"
        case State.STOPPING | State.STOPPED | State.FAILED:
            detail = f": {session.stop_detail}" if session.stop_detail else ""
            return f"{session.stop_reason}, with effect at {rfc3339(session.stopped_at)}{detail}"
        case unknown:
            assert_never(unknown)


def _placements(tx: Transaction, session: Session) -> Iterator[str]:
    """Yield which placements are still to be closed, and which providers refused."""
    for placement in tx.placements.of_session(session.id):
        where = f"placement {placement.n} at {placement.provider}"
        if placement.closing_since is not None and placement.ended_at is None:
            said = placement.last_answer or "not tried yet"
            yield f"{where} is to be closed since {rfc3339(placement.closing_since)}: {said}"
        elif placement.refused_by is not None:
            yield f"{where} was refused: {placement.last_answer}"


def _used(session: Session) -> dict[str, Any]:
    limit = interactions_limit(session)
    binds = limit is not None and limit[1] is StopReason.MODEL_LIMIT
    return {
        "interactions": session.interactions,
        "max_interactions": limit[0] if limit else None,
        "max_interactions_of": None if limit is None else ("model" if binds else "session"),
        "charged": f"{session.charged:f}",
        "max_cost": f"{session.max_cost:f}" if session.max_cost is not None else None,
        "currency": session.currency,
    }


def _doubts(tx: Transaction, session: Session, policy: Policy) -> Iterator[str]:
    if session.failures:
        needed = f"{policy.dead_after_failures} over {policy.dead_after_seconds:g} s are death"
        yield f"{session.failures} failed pings in a row since {rfc3339(session.failing_since)}; {needed}"
    for since, what in (
        (session.gone_since, "the provider said that it is gone: one confirmation is death"),
        (session.loading_since, "it says that it is loading"),
        (session.unusable_since, f"unusable: {policy.unusable_after_seconds:g} s of it are death"),
        (session.busy_since, f"its server is busy: {policy.busy_dead_after_seconds:g} s of it are death"),
    ):
        if since is not None:
            yield f"{what} (since {rfc3339(since)})"
    allowed = unwell_bound(session, policy)
    if session.not_well_since is not None and allowed is not None:
        unwell = f"no proof of life since {rfc3339(session.not_well_since)}"
        yield f"{unwell}: {allowed:g} s of it are death where the last answer is {session.last_verdict}"
    if session.state is State.RUNNING and session.provider is not None:
        held = held_by(tx.brakes.at(session.provider, session.credential), session, tx.now())
        if held is not None:
            yield f"a brake holds there until {rfc3339(held.until)}, nothing dies meanwhile: {held.reason}"
    yield from _rate_limited(tx, session)
    if session.held_since is not None:
        held_since, alive = rfc3339(session.held_since), rfc3339(session.last_alive_at)
        ends = f"if it ends as dead, its cost ends with the last proof of life, {alive}"
        yield f"held by a brake since {held_since}: {ends}"


def _rate_limited(tx: Transaction, session: Session) -> Iterator[str]:
    """Yield the rate limits of the session's key or model that delay its pings."""
    if session.state not in ACTIVE or session.provider is None:
        return
    under, now = session.credential or session.provider, tx.now()
    until = tx.waits.holding(now).get(session.provider) if session.credential is None else None
    until = until or tx.credentials.cooling(session.provider, session.credential, now)
    if until is not None:
        yield f"{under} is rate-limited until {rfc3339(until)}"
    for one in tx.waits.of_models(now, session.provider):
        if (one.credential, one.model_id) == (session.credential, session.model_id):
            yield f"{one.model_id} is rate-limited under {under} until {rfc3339(one.until)}"
