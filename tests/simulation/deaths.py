"""Ends, checked against a platform's own log: did it fail pings for as long as a death takes, or had it ended the
session itself?"""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from orchestrator.rules.audit.wait_limits import longest_unwell
from orchestrator.rules.states import PlacementState, State
from orchestrator.rules.values import Placement, Policy, Session
from orchestrator.simulator import Call
from tests.simulation.evidence import Event, Evidence, stop_event
from tests.simulation.ledger_oracle import STAMPS

Found = Iterator[tuple[str, str]]

PINGS = frozenset({"chat", "ping_native", "transcribe"})
#: Ends that a client of the platform requested.
OURS = frozenset({"client", "ping"})
#: With these a platform answers late, or says that it is overloaded: the session stays undoubted.
_ALIVE = frozenset({"slow", "throttled"})
#: Of these, an answer proves that the session works; the others leave open how long it has not.
_PROOFS = frozenset({"slow"})


def every_move_has_its_reason(evidence: Evidence) -> Found:
    """Check that every moved session had died, or that its provider's declared end had come: a move closes, too."""
    for session in evidence.sessions.values():
        for event in evidence.events_of.get(session.id, ()):
            if event.kind != "session.failed_over":
                continue
            left = left_at(evidence, session, event)
            if left is None:
                yield session.id, f"moved at {event.at}, and served nowhere before"
            elif left.declared_end_at is None or event.at < left.declared_end_at - STAMPS:
                for why in _answered(evidence, left, event.at):
                    yield session.id, f"moved at {event.at}: {why}"


def none_runs_without_a_proof_of_life(evidence: Evidence) -> Found:
    """Check that no session runs without a proof of life for longer than any verdict and a hold allow, counted once
    more after a hold's end."""
    for session in evidence.sessions.values():
        stop = stop_event(evidence, session)
        until = evidence.now if stop is None else stop.at
        before = session.state if stop is None else stop.data.get("previous_state")
        if before != State.RUNNING or session.last_alive_at is None:
            continue
        troubled = evidence.trouble_between(session.last_alive_at, until)
        longest = 2 * longest_unwell(evidence.config.policy_for(session.provider))
        if until - session.last_alive_at > longest + troubled + evidence.late:
            yield session.id, f"it ran until {until}, its last proof of life is of {session.last_alive_at}"


def no_death(evidence: Evidence, session: Session, at: datetime) -> Iterator[str]:
    """Yield why it cannot have been dead at `at`; nothing where it was."""
    stop = stop_event(evidence, session)
    placements = evidence.of_session.get(session.id, ())
    if stop is None or not placements:
        yield f"at {at} it was placed nowhere"
    elif stop.data.get("previous_state") == State.STARTING:
        yield from _can_begin_again(evidence, session, at)
    else:
        decided = stop.at if session.held_since is not None else at  # after a hold it takes effect before
        yield from (f"at {at}, {why}" for why in _answered(evidence, placements[-1], decided))


def no_start(evidence: Evidence, session: Session, at: datetime) -> Iterator[str]:
    """Yield why its start cannot have failed at `at`; nothing where its last provider refused it, or ended it."""
    stop = stop_event(evidence, session)
    placements = evidence.of_session.get(session.id, ())
    if stop is not None and stop.data.get("previous_state") == State.QUEUED:
        return  # no candidate is left for it
    if not placements:
        yield f"at {at} nothing had been tried"
    elif not _was_refused(evidence, placements[-1], at) and not ended_there(evidence, placements[-1], at):
        yield f"by {at} {placements[-1].provider} had refused nothing"


def ended_there(evidence: Evidence, placement: Placement, by: datetime) -> bool:
    """Return whether the platform itself ended it: a close of ours proves nothing."""
    return any(
        there.upstream == placement.provider
        and there.id == placement.handle
        and there.closed_at is not None
        and there.closed_by not in OURS
        and evidence.at(there.closed_at) <= by
        for there in evidence.upstream
    )


def is_said_to_have_expired(evidence: Evidence, placement: Placement, by: datetime) -> bool:
    """Return whether the platform ended it by its own schedule, or says so of one that it has not ended."""
    here = (one for one in evidence.upstream if one.upstream == placement.provider)
    ended = any(
        there.id == placement.handle
        and there.closed_by == "expired"
        and there.closed_at is not None
        and evidence.at(there.closed_at) <= by
        for there in here
    )
    return ended or any(
        call.fault == "expired" and is_about(evidence, call, placement) and evidence.at(call.began_at) <= by
        for call in evidence.calls_at.get(placement.provider, ())
    )


def lied_about(evidence: Evidence, placement: Placement) -> bool:
    """Return whether the platform listed nothing while this placement was being closed."""
    until = placement.ended_at or evidence.now
    return placement.closing_since is not None and any(
        call.fault == "empty_list" and is_about(evidence, call, placement)
        for call in evidence.calls_at.get(placement.provider, ())
        if placement.closing_since - STAMPS <= evidence.at(call.began_at) <= until
    )


def left_at(evidence: Evidence, session: Session, event: Event) -> Placement | None:
    """Return the placement that served until this move or stop."""
    served = (
        placement
        for placement in evidence.of_session.get(session.id, ())
        if placement.opened_at is not None
        and placement.opened_at <= event.at
        and placement.closing_since is not None
        and abs(placement.closing_since - event.at) <= evidence.stamps
    )
    return max(served, key=lambda placement: placement.n, default=None)


def is_bad(call: Call) -> bool:
    """Return whether the answer is missing, late or an error."""
    return call.status is None or call.status >= 400 or call.fault not in (None, "slow")


def is_about(evidence: Evidence, call: Call, placement: Placement) -> bool:
    """Return whether the call was about this placement: as recorded by the caller, else by the platform's session id,
    else perhaps."""
    if evidence.asked is not None:
        return evidence.asked.get(call.seq) == placement.id
    return call.session in (None, placement.handle)


def _can_begin_again(evidence: Evidence, session: Session, at: datetime) -> Iterator[str]:
    """Yield why a move was no reason to end it: something could be opened there, and its time to start was not over."""
    timeout = timedelta(seconds=evidence.config.policy_for(session.provider).start_timeout_seconds)
    if session.starting_at is None or abs(at - session.starting_at - timeout) > STAMPS:
        yield from no_start(evidence, session, at)


def _was_refused(evidence: Evidence, placement: Placement, by: datetime) -> bool:
    """Return whether the order was refused, or got lost at our side with nothing found there."""
    lost = placement.state is PlacementState.NEVER_OPENED and evidence.is_troubled(placement.created_at, by)
    return lost or any(
        is_bad(call) and is_about(evidence, call, placement)
        for call in evidence.calls_at.get(placement.provider, ())
        if placement.created_at - STAMPS <= evidence.at(call.began_at) <= by
    )


def _answered(evidence: Evidence, placement: Placement, at: datetime) -> Iterator[str]:
    """Yield why the policy does not call it dead: too few failed pings, or for too short a time, since the last good
    one."""
    policy = evidence.config.policy_for(placement.provider)
    since, answered = _pings_in_vain(evidence, placement, at)
    if (
        ended_there(evidence, placement, at)
        or _says_gone(answered)
        or _lists_nothing(evidence, placement, at)
    ):
        return
    in_vain = sorted(
        [evidence.at(call.ended_at or call.began_at) for call in answered]
        + [
            given_up
            for given_up, about in evidence.never_arrived
            if about == placement.id and since <= given_up <= at
        ]
    )
    first = in_vain[0] if in_vain else at
    seconds = (at - first + STAMPS).total_seconds()
    failed = len(in_vain) >= policy.dead_after_failures and seconds >= policy.dead_after_seconds
    unusable = len(in_vain) > 1 and seconds >= policy.unusable_after_seconds
    unusable = unusable or _has_no_proof_of_life(evidence, placement, at, policy)
    if not failed and not unusable:
        yield f"{len(in_vain)} pings in vain over {(at - first).total_seconds():.0f} s; {_demanded(policy)}"


def _has_no_proof_of_life(evidence: Evidence, placement: Placement, at: datetime, policy: Policy) -> bool:
    """Return whether no ping proved for long that it works, whatever they said: a throttled one begins that time."""
    _, doubted = _pings_in_vain(evidence, placement, at, _PROOFS)
    times = [evidence.at(call.ended_at or call.began_at) for call in doubted]
    return len(times) > 1 and (at - times[0] + STAMPS).total_seconds() >= policy.unusable_after_seconds


def _pings_in_vain(
    evidence: Evidence, placement: Placement, at: datetime, alive: frozenset[str] = _ALIVE
) -> tuple[datetime, Sequence[Call]]:
    """Return the last ping that succeeded, or had one of the faults `alive` (else the open), and the failed ones since
    then. A ping with an answer that may have got lost at our side ends nothing."""
    found: list[Call] = []
    since = placement.opened_at or placement.created_at
    for call in reversed(evidence.calls_at.get(placement.provider, ())):
        began = evidence.at(call.began_at)
        if call.operation not in PINGS or not is_about(evidence, call, placement) or began > at:
            continue
        if placement.opened_at is not None and began < placement.opened_at:
            break
        if is_bad(call) and call.fault not in alive:
            found.append(call)
        elif not _may_be_anothers(evidence, call) and not evidence.is_troubled(
            began, _settled(evidence, call)
        ):
            since = max(since, began)
            break
    return since, found[::-1]


def _may_be_anothers(evidence: Evidence, call: Call) -> bool:
    return evidence.asked is None and call.session is None


def _settled(evidence: Evidence, call: Call) -> datetime:
    """Return when its answer must have been written."""
    return evidence.at(call.ended_at or call.began_at) + STAMPS


def _says_gone(calls: Sequence[Call]) -> bool:
    """Return whether two pings said that it is gone, and not because of a fault."""
    gone = [c for c in calls if c.fault in {"gone", "expired"} or (c.fault is None and c.status is not None)]
    return len(gone) > 1


def _lists_nothing(evidence: Evidence, placement: Placement, at: datetime) -> bool:
    """Return whether the platform itself listed nothing after a failed ping: that is believed."""
    calls = (c for c in evidence.calls_at.get(placement.provider, ()) if is_about(evidence, c, placement))
    asked = [c for c in calls if at - timedelta(minutes=2) <= evidence.at(c.began_at) <= at]
    pinged = next((n for n, c in enumerate(asked) if c.operation in PINGS and is_bad(c)), len(asked))
    return any(call.fault == "empty_list" for call in asked[pinged:])


def _demanded(policy: Policy) -> str:
    return f"{policy.dead_after_failures} over {policy.dead_after_seconds:g} s are a death"
