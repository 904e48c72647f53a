"""Placements and what the providers have: nothing leaks, and nothing is closed that was wanted."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise

from orchestrator.rules.states import SERVING, TERMINAL, UNENDED, PlacementState, State
from orchestrator.rules.values import Placement, Session
from orchestrator.simulator import SimSession
from tests.due import due_at, step_of
from tests.simulation.deaths import OURS, lied_about
from tests.simulation.evidence import Evidence

Found = Iterator[tuple[str, str]]

LIVE = frozenset({State.STARTING, State.RUNNING})
#: A silent death is noticed by the next ping and its confirmation; seconds on top of the ping's interval and
#: `dead_after_seconds`.
NOTICED_WITHIN = 120.0


def nothing_leaks(evidence: Evidence) -> Found:
    """Check that everything open at a platform has a row here with a step that closes it."""
    known = {
        (p.provider, handle): p for p in evidence.placements for handle in (p.handle, p.candidate) if handle
    }
    for session in evidence.upstream:
        if not session.is_open or session.upstream in evidence.not_ours or session.id in evidence.foreign:
            continue
        placement = known.get((session.upstream, session.id))
        if placement is None and not _reported(evidence, session):
            yield (
                session.id,
                f"open at {session.upstream} since {evidence.at(session.opened_at)}, unknown here",
            )
        elif placement is not None and placement.state not in UNENDED:
            yield session.id, f"open at {session.upstream}, but here {placement.state} by {placement.proof!r}"
        elif placement is not None and not _cared_for(evidence, placement):
            yield session.id, f"open at {session.upstream}, and nothing closes it: {_brief(placement)}"


def every_live_session_is_served(evidence: Evidence) -> Found:
    """Check that a running session is open at its platform, and has exactly one placement that serves it."""
    upstream = {(session.upstream, session.id): session for session in evidence.upstream}
    for session in _sessions(evidence, LIVE):
        serving = [p for p in evidence.of_session.get(session.id, ()) if p.state in SERVING]
        if len(serving) != 1 or serving[0].n != session.placements:
            yield session.id, f"{session.state} with {len(serving)} serving placements"
            continue
        there = upstream.get((serving[0].provider, serving[0].handle or ""))
        if there is not None and not there.is_open and not _just_ended(evidence, session, there):
            at = evidence.at(there.closed_at or 0)
            yield session.id, f"{session.state}, but ended at {there.upstream} at {at} by {there.closed_by}"


def no_end_without_proof(evidence: Evidence) -> Found:
    """Check that what is closed here had ended there, unless the platform said so falsely, or an operator forced it."""
    there = {(session.upstream, session.id): session for session in evidence.upstream}
    for placement in evidence.placements:
        session = there.get((placement.provider, placement.handle or ""))
        if session is None or placement.state is not PlacementState.CLOSED or placement.ended_at is None:
            continue
        until = evidence.at(session.closed_at) if session.closed_at is not None else evidence.now
        early = until > placement.ended_at + evidence.stamps
        if early and placement.forced_at is None and not lied_about(evidence, placement):
            yield (
                session.id,
                f"closed here at {placement.ended_at} by {placement.proof!r}, open there until {until}",
            )


def what_is_over_is_over(evidence: Evidence) -> Found:
    """Check that a session has ended when, and only when, all its placements have."""
    for session in evidence.sessions.values():
        unended = [p for p in evidence.of_session.get(session.id, ()) if p.state in UNENDED]
        if session.state in TERMINAL and unended:
            yield session.id, f"{session.state} while {_brief(unended[0])}"
        if session.state is State.STOPPING and not unended:
            yield session.id, "stopping, though nothing is left to close"
        if session.state in TERMINAL | {State.STOPPING} and session.stop_reason is None:
            yield session.id, f"{session.state} for no reason"
        if (session.state in TERMINAL) != (session.ended_at is not None):
            yield session.id, f"{session.state} with ended_at {session.ended_at}"


def every_live_row_has_a_step(evidence: Evidence) -> Found:
    """Check that every live row has a next step, and that no step is overdue."""
    overdue = (
        evidence.now
        - timedelta(minutes=2)
        - evidence.trouble_between(evidence.now - timedelta(minutes=30), evidence.now)
    )
    for session in evidence.sessions.values():
        if (
            session.state in LIVE | {State.QUEUED}
            and step_of(session) is None
            and not _waits(evidence, session)
        ):
            yield session.id, f"{session.state} without a next step"
        if session.due is not None and session.due.at < overdue:
            yield session.id, f"{session.due.step} overdue since {session.due.at}"
    waiting = {PlacementState.OPENING, PlacementState.UNKNOWN, PlacementState.CLOSING}
    for placement in evidence.placements:
        if placement.state in waiting and step_of(placement) is None:
            yield placement.id, f"{placement.state} without a next step"
        if placement.due is not None and placement.due.at < overdue:
            yield placement.id, f"{placement.due.step} overdue since {placement.due.at}"


def one_session_a_key(evidence: Evidence) -> Found:
    """Check one session a key, by the platform's own order of opens and ends; and that no two unended placements share
    a key."""
    by_key: dict[tuple[str, str], list[SimSession]] = defaultdict(list)
    for session in evidence.upstream:
        if session.upstream in evidence.exclusive and not session.leaked:
            by_key[session.upstream, session.key].append(session)
    for earlier, later in (pair for sessions in by_key.values() for pair in pairwise(sessions)):
        if earlier.closed_order is None or earlier.closed_order > later.opened_order:
            yield later.id, f"opened at {later.upstream} while its key carried {earlier.id}"
        elif earlier.closed_by == "displaced":
            yield earlier.id, f"displaced at {later.upstream} by {later.id}"
    held: dict[tuple[str, str | None], Placement] = {}
    for placement in (p for p in evidence.placements if p.exclusive and p.state in UNENDED):
        other = held.setdefault((placement.provider, placement.credential), placement)
        if other is not placement:
            yield placement.id, f"shares {placement.credential} with {other.id}"


def no_close_before_its_stop(evidence: Evidence) -> Found:
    """Check that no close reached a platform before the end of that placement was wanted."""
    ours = {(p.provider, p.handle): p for p in evidence.placements if p.handle and p.session_id is not None}
    for session in evidence.upstream:
        if session.closed_by not in {"client", "ping"} or session.closed_at is None:
            continue
        placement = ours.get((session.upstream, session.id))
        if placement is None or (placement.opened_at or evidence.now) > evidence.at(session.closed_at):
            continue  # no session ever adopted it, so none lost it
        if placement.closing_since is None or placement.closing_since > evidence.at(session.closed_at):
            at = evidence.at(session.closed_at)
            yield session.id, f"closed at {session.upstream} at {at}, wanted until {placement.closing_since}"


def no_close_of_foreign_sessions(evidence: Evidence) -> Found:
    """Check that foreign sessions stay open, and that unknown ones are closed only after their minimum age."""
    for session in evidence.upstream:
        if session.id in evidence.foreign and session.closed_by in OURS:
            yield session.id, f"closed at {session.upstream}, though it is not ours"
    unknown = {
        (p.provider, p.handle)
        for p in evidence.placements
        if p.session_id is None and "orphan_of" not in p.options
    }
    for session in evidence.upstream:
        if (session.upstream, session.id) not in unknown or session.closed_by not in OURS:
            continue
        age = timedelta(seconds=(session.closed_at or 0) - session.opened_at) + evidence.stamps
        if age < timedelta(seconds=evidence.config.policy_for(session.upstream).reconcile_min_age_seconds):
            yield session.id, f"closed at {session.upstream} as unknown, {age} after it was opened"


def _sessions(evidence: Evidence, states: frozenset[State]) -> list[Session]:
    return [session for session in evidence.sessions.values() if session.state in states]


def _reported(evidence: Evidence, session: SimSession) -> bool:
    """Return whether a gateway lost track of a session itself: only a placement's note can say so."""
    return session.leaked and any(
        p.provider == session.upstream and p.possible_orphans for p in evidence.placements
    )


def _cared_for(evidence: Evidence, placement: Placement) -> bool:
    """Return whether an open placement serves a live session, or another one has a step that ends it."""
    if placement.state is PlacementState.OPEN:
        session = evidence.sessions.get(placement.session_id or "")
        return session is not None and session.state in LIVE and session.placements == placement.n
    if placement.session_id is None and placement.provider in evidence.by_id:
        return False  # at rest it has been closed
    return step_of(placement) is not None


def _just_ended(evidence: Evidence, session: Session, there: SimSession) -> bool:
    policy = evidence.config.policy_for(session.provider)
    seconds = 1.1 * policy.ping_interval_seconds + policy.dead_after_seconds + NOTICED_WITHIN
    ended = evidence.at(there.closed_at or 0)
    grace = timedelta(seconds=seconds) + evidence.trouble_between(ended, evidence.now)
    if there.upstream in _braked(evidence):
        grace += timedelta(seconds=policy.brake_max_seconds)
    return ended + grace >= evidence.now


def _braked(evidence: Evidence) -> set[str]:
    newest = {event.subject: event.kind for event in evidence.events if event.kind in _BRAKES}
    return {provider for provider, kind in newest.items() if kind == "provider.braked"}


_BRAKES = frozenset({"provider.braked", "provider.released"})


def _waits(evidence: Evidence, session: Session) -> bool:
    """Return whether its row waits for its deadline: a starting one always has it."""
    return session.stop_at is not None and session.stop_at > evidence.now


def _brief(placement: Placement) -> str:
    step = f"{step_of(placement)} at {due_at(placement)}"
    return (
        f"placement {placement.id} is {placement.state}, next {step}, last answer {placement.last_answer!r}"
    )
