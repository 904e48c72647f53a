"""What follows when a session's placement ends: another attempt to start, a failover, or the session's end."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from orchestrator.flows.lifecycle import places, transitions
from orchestrator.flows.lifecycle.account_work import AccountWork
from orchestrator.flows.lifecycle.transitions import (
    begin_close,
    begin_placement,
    note_lost,
    starting_at,
    waiting_at,
)
from orchestrator.rules.sessions.stops import finished, reason_without_place
from orchestrator.rules.states import SERVING, State
from orchestrator.rules.values import Placement, Session
from orchestrator.rules.values.copies import replace


def next_attempt(work: AccountWork, before: Session, noted: Session) -> Session | None:
    """Place a starting session again: with the next credential, then at the model's next provider, or, once its own end
    is proven, with the key that this frees. Return None if nothing is left to try."""
    policy = work.policy(before)
    model = work.tx.models.get(before.model_id)
    if model is None or places.attempts_left(work.tx, before, policy, work.now) < 1:
        return None
    for placement in work.tx.placements.unended(before.id):
        begin_close(work, placement, before)
    first_entry = noted.starting_at or work.now  # attempts share one start_timeout
    by = first_entry + timedelta(seconds=policy.start_timeout_seconds)
    place = places.take_place_by(work, before, model, work.now, by)
    if place is None:
        if not places.frees_a_place(work.services, work.tx, before, model, work.now):
            return None
        waiting = replace(waiting_at(noted, work.now), starting_at=first_entry)
        return work.keep(before, work.planned(waiting))
    after = replace(starting_at(noted, place, work.now), starting_at=first_entry)
    saved = work.keep(before, work.planned(after))
    begin_placement(work.services, work.tx, saved, model, place, work.now)
    return saved


def has_another(work: AccountWork, session: Session, placement: Placement) -> bool:
    """Return whether a session that starts here may start at another place in time."""
    policy = work.policy(session)
    model = work.tx.models.get(session.model_id)
    if model is None or places.attempts_left(work.tx, session, policy, work.now) < 1:
        return False
    by = (session.starting_at or work.now) + timedelta(seconds=policy.start_timeout_seconds)
    here = frozenset({(placement.provider, placement.credential)})
    place = places.take_place_by(work, session, model, work.now, by, others=here)
    return place is not None


def move_on(
    work: AccountWork,
    session: Session,
    at: datetime,
    detail: str,
    *,
    lost: bool = False,
    beside_brakes: bool = False,
) -> bool:
    """Move a running session to its next place, as of `at`. Return False if it must be stopped instead: no place is
    free now, and none becomes free when its own end is proven.

    `lost`: pings say that it is dead. `beside_brakes`: only to a place without a brake."""
    policy = work.policy(session)
    if not session.failover or places.attempts_left(work.tx, session, policy, work.now) < 1:
        return False
    model = work.tx.models.get(session.model_id)
    before = work.tx.sessions.lock(session.id)
    if model is None or before is None or before.state is not State.RUNNING:
        return False
    by = work.now + timedelta(seconds=policy.start_timeout_seconds)
    place = places.take_place_by(work, before, model, work.now, by, beside_brakes=beside_brakes)
    if place is None and (
        beside_brakes or not places.frees_a_place(work.services, work.tx, before, model, work.now)
    ):
        return False
    if lost:
        note_lost(work.tx, before, work.now)
    for placement in work.tx.placements.unended(before.id):
        begin_close(work, placement, before)
    interrupted = replace(work.stop_running(before, at), stop_detail=detail)
    if place is None:
        work.keep(before, work.planned(waiting_at(interrupted, work.now)))
        return True
    after = starting_at(interrupted, place, work.now)
    saved = work.keep(before, work.planned(after))
    begin_placement(work.services, work.tx, saved, model, place, work.now)
    return True


def finish_if_closed(work: AccountWork, session: Session) -> Session:
    """Finish a stopping session once all its placements have ended. Place a starting session again if it waited for
    that end."""
    if session.state is State.STARTING:
        return _place_again(work, session)
    if session.state is not State.STOPPING:
        return session
    return finish_if_ended(work, session, work.tx.placements.unended(session.id))


def finish_if_ended(work: AccountWork, session: Session, placements: Sequence[Placement]) -> Session:
    """Finish a stopping session once all these placements of it have ended."""
    after = finished(session, placements, work.now)
    return work.keep(session, after) if after is not session else session


def _place_again(work: AccountWork, session: Session) -> Session:
    """Place a session again once the placement that it waited for has ended: there, unless another place came free
    sooner. Stop it if nothing is left to try."""
    current = work.tx.sessions.lock(session.id)
    if current is None or any(one.state in SERVING for one in work.tx.placements.unended(current.id)):
        return session
    placed = next_attempt(work, current, current)
    if placed is not None:
        return placed
    why = current.stop_detail or "no provider left to try"
    return transitions.stop(work, current, reason_without_place(current), work.now, why)
