"""Events, outcomes and admissions: every transition has its event, every job its one outcome."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from orchestrator.rules.states import CONCURRENT, SESSION_TRANSITIONS, State
from orchestrator.rules.values import Placement
from tests.simulation.evidence import Event, Evidence

Found = Iterator[tuple[str, str]]

_STATES = {f"session.{state.value}": state for state in State} | {"session.failed_over": State.STARTING}


def every_transition_has_its_event(evidence: Evidence) -> Found:
    """Check that the events of a session are a legal path from its creation to its current state."""
    for session in evidence.sessions.values():
        path = [_STATES[e.kind] for e in evidence.events_of.get(session.id, ()) if e.kind in _STATES]
        states = " → ".join(path)
        if not path or path[0] is not State.CREATED or path[-1] is not session.state:
            yield session.id, f"is {session.state}, and its events say: {states or 'nothing'}"
        for before, after in pairwise(path):
            if after not in SESSION_TRANSITIONS[before]:
                yield session.id, f"an event says {before} → {after}: {states}"
        if session.deleted_at is not None and not _has_event(evidence, session.id, "session.deleted"):
            yield session.id, "deleted, without an event"
    yield from _each_ending_has_one_event(evidence)


def every_event_is_delivered_in_order(evidence: Evidence) -> Found:
    """Check that no event waits, and that each subject's events arrived in the order in which they were written."""
    for event in evidence.events:
        if not event.delivered:
            yield event.subject, f"{event.kind} of {event.at} still waits"
    if evidence.delivered is not None:
        yield from _arrived_in_order(evidence, evidence.delivered)


def one_outcome_a_job(evidence: Evidence) -> Found:
    """Check that the inbox keeps one outcome for each task id, and that every client received that one."""
    for task_id, outcomes in evidence.answers.items():
        kept = evidence.inbox.get(task_id)
        if not outcomes:
            yield task_id, "no client ever received its outcome"
        elif kept is None:
            yield task_id, "answered, and the inbox knows nothing of it"
        if any(outcome != outcomes[0] for outcome in outcomes) or (kept and outcomes and kept != outcomes[0]):
            yield task_id, f"more than one outcome: {[*outcomes, kept]}"
    for task_id, kept in evidence.inbox.items():
        if kept is None:
            yield task_id, "taken, and without an outcome"
        if evidence.answers and task_id not in evidence.answers:
            yield task_id, "in the inbox, and no client sent it"


def quota_holds(evidence: Evidence) -> Found:
    """Check that no account ever had more than its plan allows, cleanup debt apart, by the events."""
    held: dict[str, dict[str, _Slot]] = defaultdict(dict)
    for event in evidence.events:
        account_id = str(event.data.get("account_id"))
        if event.kind == "session.unproven" and event.subject in evidence.sessions:
            slot = held[evidence.sessions[event.subject].account_id].get(event.subject)
            if slot is not None:
                slot.unproven.setdefault(str(event.data["placement_id"]), event.at)
        elif event.kind == "session.deleted":
            held[account_id].pop(event.subject, None)
        elif event.kind in _STATES:
            slot = held[account_id].setdefault(event.subject, _Slot(id=event.subject))
            slot.state = _STATES[event.kind]
            if slot.state is State.STARTING and event.kind != "session.failed_over":
                yield from _too_many(evidence, account_id, list(held[account_id].values()), event)


@dataclass
class _Slot:
    """One session of an account, as far as its events show."""

    id: str
    state: State = State.CREATED
    unproven: dict[str, datetime] = field(default_factory=dict)
    """Since when each of its placements' closes has failed."""


def _too_many(evidence: Evidence, account_id: str, slots: Sequence[_Slot], event: Event) -> Found:
    plan = evidence.config.plan(evidence.accounts[account_id].plan)
    assert plan is not None
    counted = [slot for slot in slots if not _is_debt(evidence, slot, event.at)]
    busy = sum(slot.state in CONCURRENT for slot in counted)
    if plan.max_concurrent is not None and busy > plan.max_concurrent:
        yield (
            account_id,
            f"{busy} at once at {event.at}, as {event.subject} started: {plan.max_concurrent} allowed",
        )
    if plan.max_sessions is not None and len(counted) > plan.max_sessions:
        yield account_id, f"{len(counted)} sessions at {event.at}: {plan.max_sessions} allowed"


def _is_debt(evidence: Evidence, slot: _Slot, now: datetime) -> bool:
    """Return whether every unclosed placement that it had then was unproven for too long."""
    placements = evidence.of_session.get(slot.id, ())
    unended = [one for one in placements if one.created_at <= now and (one.ended_at or now) >= now]
    return (
        slot.state is State.STOPPING
        and bool(unended)
        and all(_is_overdue(evidence, one, slot.unproven.get(one.id), now) for one in unended)
    )


def _is_overdue(evidence: Evidence, close: Placement, since: datetime | None, now: datetime) -> bool:
    seconds = evidence.config.policy_for(close.provider).cleanup_debt_after_seconds
    return since is not None and now - since > timedelta(seconds=seconds)


def _has_event(evidence: Evidence, subject: str, kind: str) -> bool:
    return any(event.kind == kind for event in evidence.events_of.get(subject, ()))


def _each_ending_has_one_event(evidence: Evidence) -> Found:
    for session in evidence.sessions.values():
        for kind in ("session.created", "session.stopped", "session.failed"):
            times = sum(event.kind == kind for event in evidence.events_of.get(session.id, ()))
            if times > 1:
                yield session.id, f"{kind} has {times} events"


def _arrived_in_order(evidence: Evidence, delivered: Sequence[Mapping[str, Any]]) -> Found:
    by_id = {event.id: event for event in evidence.events}
    arrived: set[str] = set()
    newest: dict[str, int] = defaultdict(int)
    for event in (by_id[str(one["id"])] for one in delivered if str(one["id"]) in by_id):
        if event.id not in arrived and event.seq < newest[event.subject]:
            yield event.subject, f"{event.kind} of {event.at} arrived after what came later"
        newest[event.subject] = max(newest[event.subject], event.seq)
        arrived.add(event.id)  # a repeat is fine: delivery is at least once
    for event in evidence.events:
        if event.id not in arrived | evidence.swept_away:
            yield event.subject, f"{event.kind} of {event.at} never arrived"
    for unknown in (one for one in delivered if str(one["id"]) not in by_id):
        yield str(unknown["subject"]), f"{unknown['type']} was delivered, and never happened"
