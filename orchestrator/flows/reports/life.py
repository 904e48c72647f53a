"""A session's life as spans of time, for a timeline: its states, its placements, and when its pings were in doubt."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from orchestrator.flows.reports import views
from orchestrator.rules.billing import money
from orchestrator.rules.events import rfc3339
from orchestrator.rules.states import TERMINAL, State
from orchestrator.rules.values import Account, Placement, Session
from orchestrator.store.queries.outbox import WaitingEvent
from orchestrator.store.transaction import Transaction

#: Events of one session that are read; one in doubt again and again has more.
MOST_EVENTS = 500
_STATES = {state.value: state.value for state in State} | {"failed_over": State.STARTING.value}


def life_of(tx: Transaction, session: Session, now: datetime) -> dict[str, Any]:
    """Return the session's states, placements, doubts and warnings, each with its times; and what it will have cost
    when its own stop comes."""
    events = tx.outbox.tail(subject=session.id, limit=MOST_EVENTS)
    until = session.ended_at or now
    account = tx.accounts.get(session.account_id)
    return {
        "from": rfc3339(session.created_at),
        "until": rfc3339(until),
        "states": list(_states(session, events, until)),
        "placements": [_placement(one, until) for one in tx.placements.of_session(session.id)],
        "doubts": list(_doubts(events, until)),
        "warnings": [rfc3339(one.time) for one in events if one.type.endswith(".expiring")],
        "failures": session.failures,
        "cost_at_stop": _cost_at_stop(session, account),
    }


def _states(
    session: Session, events: Sequence[WaitingEvent], until: datetime
) -> Iterator[dict[str, str | None]]:
    """Yield the states in their order, from the events where all are kept, else from the row."""
    found = [(_STATES[kind], one.time) for one in events if (kind := _kind(one)) in _STATES]
    if not found or found[0][0] != State.CREATED:
        found = list(_of_the_row(session))
    ends = [at for _, at in found[1:]] + [until]
    for (state, at), end in zip(found, ends, strict=True):
        if State(state) not in TERMINAL:
            yield {"state": state, "from": rfc3339(at), "until": rfc3339(max(at, end))}


def _of_the_row(session: Session) -> Iterator[tuple[str, datetime]]:
    times = (
        (State.CREATED, session.created_at),
        (State.QUEUED, session.queued_at),
        (State.STARTING, session.starting_at),
        (State.RUNNING, session.running_at),
        (State.STOPPING, session.stopped_at),
        (State.STOPPED, session.ended_at),
    )
    yield from ((state.value, at) for state, at in times if at is not None)


def _placement(placement: Placement, until: datetime) -> dict[str, Any]:
    return {
        "id": placement.id,
        "n": placement.n,
        "provider": placement.provider,
        "credential": placement.credential,
        "state": placement.state.value,
        "handle": placement.handle,
        "from": rfc3339(placement.created_at),
        "opened_at": rfc3339(placement.opened_at),
        "closing_since": rfc3339(placement.closing_since),
        "until": rfc3339(placement.ended_at or until),
        "ended_at": rfc3339(placement.ended_at),
        "attempts": placement.attempts,
        "proof": placement.proof,
        "last_answer": placement.last_answer,
        "next_step": placement.due.step.value if placement.due else None,
        "next_step_at": rfc3339(placement.due.at) if placement.due else None,
    }


def _doubts(events: Sequence[WaitingEvent], until: datetime) -> Iterator[dict[str, Any]]:
    """Yield from when until when pings failed, with the answer that began it."""
    began: WaitingEvent | None = None
    for one in events:
        kind = _kind(one)
        if kind == "suspect":
            began = began or one
        elif began is not None and (kind in {"recovered", "stopping", "failed_over", "stopped"}):
            yield _doubt(began, one.time)
            began = None
    if began is not None:
        yield _doubt(began, until)


def _doubt(began: WaitingEvent, until: datetime) -> dict[str, Any]:
    ping = began.data.get("last_ping") or {}
    return {
        "from": rfc3339(began.time),
        "until": rfc3339(until),
        "verdict": ping.get("verdict"),
        "detail": ping.get("detail"),
    }


def _cost_at_stop(session: Session, account: Account | None) -> str | None:
    """Return what it will have cost if it runs until its stop; None if it does not run, or nothing stops it."""
    stop_at, _ = views.stop_of(session, account)
    if session.state is not State.RUNNING or stop_at is None:
        return None
    return views.as_text(money.cost_if_stopped_at(session, stop_at))


def _kind(event: WaitingEvent) -> str:
    return event.type.rpartition(".")[2]
