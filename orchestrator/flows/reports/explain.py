"""Explain why a session is in its state, and what will happen next, for the operator on call."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, assert_never

from orchestrator.rules.billing.money import FundsEnd
from orchestrator.rules.events import rfc3339
from orchestrator.rules.sessions.pings import answered_last, unwell_bound
from orchestrator.rules.sessions.stops import interactions_limit, next_stop
from orchestrator.rules.states import ACTIVE, State, Step, StopReason
from orchestrator.rules.upstream.brake import held_by
from orchestrator.rules.values import Due, Lease, Policy, Session
from orchestrator.rules.values.amounts import money_text
from orchestrator.store.transaction import Transaction

#: The last events of a session that are searched for changes.
_LOOKED_AT = 200
#: A ping that is overdue for this long says that no worker does it.
_PINGED_LATE = timedelta(minutes=2)


def explain(tx: Transaction, session: Session, policy: Policy, now: datetime) -> dict[str, Any]:
    """Return the session's state in sentences, every rule that may stop it, earliest first, and what it has used."""
    forecast = next_stop(session, policy, _funds_end(tx, session))
    due, lease = _next_step(tx, session)
    claimed = lease is not None and lease.until > now
    return {
        "session_id": session.id,
        "state": session.state.value,
        "because": [_because(tx, session, now), *_placements(tx, session)],
        "next_step": due.step.value if due else None,
        "next_step_at": rfc3339(due.at) if due else None,
        "claimed_until": rfc3339(lease.until) if lease and claimed else None,
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
        "changes": _changes(tx, session),
        "doubts": list(_doubts(tx, session, policy)) if session.state in ACTIVE else [],
    }


def _changes(tx: Transaction, session: Session) -> list[dict[str, Any]]:
    """Return who changed the session, when and how, oldest first, as far as its events are kept. A job that names no
    author is not among them."""
    return [
        {"at": rfc3339(one.time), **one.data["change"]}
        for one in tx.outbox.newest(subject=session.id, limit=_LOOKED_AT)
        if "change" in one.data
    ]


def _next_step(tx: Transaction, session: Session) -> tuple[Due | None, Lease | None]:
    """Return the session's own next step, or, if it waits for its placements, the first of theirs; and the lease under
    which a worker does what comes before it."""
    if session.due is not None:
        return session.due, session.lease
    waiting = [(one.due, one.lease) for one in tx.placements.of_session(session.id) if one.due is not None]
    return min(waiting, key=lambda one: (one[0].at, one[0].step), default=(None, None))


def _funds_end(tx: Transaction, session: Session) -> FundsEnd | None:
    account = tx.accounts.get(session.account_id)
    if account is None or account.funds_end_at is None or account.funds_session_id != session.id:
        return None
    return FundsEnd(account.funds_end_at, session.id, account.funds_end_by)


def _because(tx: Transaction, session: Session, now: datetime) -> str:
    match session.state:
        case State.CREATED:
            return "it was created and never started: start it, or delete it"
        case State.QUEUED:
            place = tx.queues.position(session)
            return f"it is number {place} in its account's queue and waits for {session.queue_reason}"
        case State.STARTING:
            return f"placement {session.placements} at {session.provider} has not answered a ping well yet"
        case State.RUNNING:
            return _while_running(session, now)
        case State.STOPPING | State.STOPPED | State.FAILED:
            detail = f": {session.stop_detail}" if session.stop_detail else ""
            return f"{session.stop_reason}, with effect at {rfc3339(session.stopped_at)}{detail}"
        case unknown:
            assert_never(unknown)


def _while_running(session: Session, now: datetime) -> str:
    """Return how the session answers: nothing says that it does where the last ping failed, or is long ago."""
    where = f"placement {session.placements} at {session.provider}"
    if not answered_last(session):
        detail = f" ({session.last_ping_detail})" if session.last_ping_detail else ""
        return f"the last ping of {where}: {session.last_verdict}{detail}"
    due = session.due
    if due is not None and due.step is Step.PING and due.at < now - _PINGED_LATE:
        return f"{where}: its next ping is overdue since {rfc3339(due.at)}. Does a worker run?"
    return f"{where} answers"


def _placements(tx: Transaction, session: Session) -> Iterator[str]:
    """Yield which placements are still to be closed, and which providers refused."""
    for placement in tx.placements.of_session(session.id):
        where = f"placement {placement.n} at {placement.provider}"
        if placement.closing_since is not None and placement.ended_at is None:
            said = placement.last_answer or "not tried yet"
            yield f"{where} has been waiting for its close since {rfc3339(placement.closing_since)}: {said}"
        elif placement.refused_by is not None:
            yield f"{where} was refused: {placement.last_answer}"


def _used(session: Session) -> dict[str, Any]:
    limit = interactions_limit(session)
    binds = limit is not None and limit[1] is StopReason.MODEL_LIMIT
    return {
        "interactions": session.interactions,
        "max_interactions": limit[0] if limit else None,
        "max_interactions_of": None if limit is None else ("model" if binds else "session"),
        "charged": money_text(session.charged),
        "max_cost": None if session.max_cost is None else money_text(session.max_cost),
        "currency": session.currency,
    }


def _doubts(tx: Transaction, session: Session, policy: Policy) -> Iterator[str]:
    if session.failures:
        needed = f"{policy.dead_after_failures} over {policy.dead_after_seconds:g} s mean dead"
        yield f"{session.failures} failed pings in a row since {rfc3339(session.failing_since)}; {needed}"
    for since, what in (
        (session.gone_since, "the provider said that it is gone: one more such answer means dead"),
        (session.loading_since, "it says that it is loading"),
        (session.unusable_since, f"unusable: {policy.unusable_after_seconds:g} s of it mean dead"),
        (session.busy_since, f"its server is busy: {policy.busy_dead_after_seconds:g} s of it mean dead"),
    ):
        if since is not None:
            yield f"{what} (since {rfc3339(since)})"
    allowed = unwell_bound(session, policy)
    if session.not_well_since is not None and allowed is not None:
        unwell = f"no proof of life since {rfc3339(session.not_well_since)}"
        yield f"{unwell}: {allowed:g} s of it mean dead where the last answer is {session.last_verdict}"
    if session.state is State.RUNNING and session.provider is not None:
        held = held_by(tx.brakes.at(session.provider, session.credential), session, tx.now())
        if held is not None:
            yield (
                f"a brake holds there until {rfc3339(held.until)}; until then no session is stopped as dead on failed "
                f"pings alone: {held.reason}"
            )
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
    until = tx.rate_limits.of_providers(now).get(session.provider) if session.credential is None else None
    until = until or tx.credentials.rate_limited_until(session.provider, session.credential, now)
    if until is not None:
        yield f"{under} is rate-limited until {rfc3339(until)}"
    for one in tx.rate_limits.of_models(now, session.provider):
        if (one.credential, one.model_id) == (session.credential, session.model_id):
            yield f"{one.model_id} is rate-limited under {under} until {rfc3339(one.until)}"
