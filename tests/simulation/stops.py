"""Every stop is charged to its own instant only, and comes in time."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from orchestrator.flows.engine.services import open_lease
from orchestrator.rules.states import StopReason
from orchestrator.rules.upstream.local_faults import LONGEST_COOLDOWN
from orchestrator.rules.values import Placement, Session
from orchestrator.simulator import SimSession
from orchestrator.tasks.runner import JITTER as LOOK_JITTER
from orchestrator.tasks.runner import LOOK_EVERY
from tests.simulation.deaths import PINGS, is_about, is_bad, lied_about
from tests.simulation.evidence import Evidence, stop_event
from tests.simulation.ledger_oracle import cost, ended
from tests.simulation.process_faults import COMES_BACK

Found = Iterator[tuple[str, str]]
Span = tuple[datetime, datetime]

#: A stop lets a ping that was just claimed begin before the close does.
PING_BEGINS = timedelta(seconds=2)
#: After a local fault a worker leaves a provider alone for up to this long.
COOLDOWN = timedelta(seconds=LONGEST_COOLDOWN)
#: Where no wake-up comes, a worker looks by itself for what is due; it finds each try so much later at most.
LOOK = timedelta(seconds=LOOK_EVERY * (1 + LOOK_JITTER))
#: A session that waits for a key is tried again after this long.
KEY_COMES_FREE = timedelta(seconds=2)
#: The waits between tries are spread by this share.
JITTER = 0.1


def at_the_deadline(evidence: Evidence) -> Found:
    """Check that the time is charged up to the instant of the stop, without the delay after it."""
    for session in evidence.sessions.values():
        if ended(session) and session.stopped_at is not None and session.running_at is not None:
            ran = timedelta(microseconds=session.ran_microseconds)
            if ran > max(timedelta(0), session.stopped_at - session.running_at):
                yield session.id, f"RUNNING for {ran}, from {session.running_at} to {session.stopped_at}"
            if session.charged > cost(session, ran):
                yield session.id, f"charged {session.charged} for {ran}"


def decided_in_time(evidence: Evidence) -> Found:
    """Check the time from the instant of a stop to its event."""
    for session, late, troubled in lateness(evidence):
        allowed = evidence.late + troubled
        if late > allowed:
            what = f"{session.stop_reason} of {session.stopped_at}"
            yield session.id, f"{what} was decided {late} late, allowed {allowed}"


def lateness(evidence: Evidence) -> Iterator[tuple[Session, timedelta, timedelta]]:
    """Yield, for each stop, how much later than its instant it was decided, and how much of that was trouble. An idle
    one has its grace."""
    for session in evidence.sessions.values():
        stop = stop_event(evidence, session)
        if stop is not None and session.stopped_at is not None:
            due = session.stopped_at + _grace(evidence, session)
            yield session, stop.at - due, evidence.trouble_between(due, stop.at)


def _grace(evidence: Evidence, session: Session) -> timedelta:
    idle = session.stop_reason is StopReason.IDLE
    return timedelta(seconds=evidence.config.policy_for(session.provider).idle_grace_seconds if idle else 0)


def closed_in_time(evidence: Evidence) -> Found:
    """Check the time from the decision to the end at the platform, unless the platform itself failed."""
    ours = {(p.provider, p.handle): p for p in evidence.placements if p.handle and p.session_id is not None}
    for there in evidence.upstream:
        placement = ours.get((there.upstream, there.id))
        wanted = _closing_since(placement)
        if (
            placement is None
            or wanted is None
            or there.closed_at is None
            or there.upstream in evidence.not_ours
        ):
            continue
        ended_at = evidence.at(there.closed_at)
        held_up = _held_up(evidence, placement, there, ended_at)
        allowed = evidence.late + PING_BEGINS + evidence.trouble_between(wanted, ended_at, held_up)
        if ended_at - wanted > allowed and not lied_about(evidence, placement):
            yield there.id, f"wanted closed at {wanted}, ended {ended_at - wanted} later, allowed {allowed}"


def _closing_since(placement: Placement | None) -> datetime | None:
    """Return since when its end was wanted and could be carried out."""
    if placement is None or placement.session_id is None or placement.opened_at is None:
        return None
    return max(placement.closing_since, placement.opened_at) if placement.closing_since else None


def _held_up(evidence: Evidence, placement: Placement, there: SimSession, until: datetime) -> Iterator[Span]:
    """Yield when it could not be carried out, because of our side or the platform's."""
    yield from _failed_here(evidence, placement)
    yield from _failed_there(evidence, placement, there, until)
    yield from _key_kept_by_a_lost_open(evidence, placement)


def _failed_here(evidence: Evidence, placement: Placement) -> Iterator[Span]:
    """Yield each call of ours about it that failed before it left, with the wait after it."""
    for at, about in evidence.failed_here:
        if about == placement.id:
            yield at, at + timedelta(seconds=LONGEST_COOLDOWN * (1 + JITTER)) + COOLDOWN


def _failed_there(
    evidence: Evidence, placement: Placement, there: SimSession, until: datetime
) -> Iterator[Span]:
    """Yield when the platform failed: each failed call about this end, with the wait after it, and those for which its
    key was kept."""
    policy, tries = evidence.config.policy_for(placement.provider), 0
    for call in evidence.calls_at.get(placement.provider, ()):
        if call.operation in PINGS or not (is_bad(call) or call.fault) or evidence.at(call.began_at) > until:
            continue
        over = evidence.at(call.ended_at) if call.ended_at is not None else until
        if is_about(evidence, call, placement):
            if placement.closing_since is not None and over >= placement.closing_since:
                tries += 1
            made = tries + _lost_claims(evidence, placement, over)
            wait = min(2.0 ** min(made, 20), policy.close_retry_max_seconds) * (1 + JITTER)
            yield evidence.at(call.began_at), over + timedelta(seconds=wait) + LOOK
        elif placement.serialised and call.key == there.key:
            yield evidence.at(call.began_at), over + KEY_COMES_FREE


def _key_kept_by_a_lost_open(evidence: Evidence, placement: Placement) -> Iterator[Span]:
    """Yield for how long a lost claim may have kept the key: that of an open keeps it longer than a close's."""
    if placement.serialised:
        lease = timedelta(seconds=open_lease(evidence.config.policy_for(placement.provider)))
        for begun, over in evidence.troubles:
            if over - begun >= timedelta(seconds=COMES_BACK):
                yield begun, begun + lease + KEY_COMES_FREE + LOOK


def _lost_claims(evidence: Evidence, placement: Placement, until: datetime) -> int:
    """Return how many tries of this close may have ended before their call: they lengthen the waits anyway."""
    since, lost = placement.closing_since or until, timedelta(seconds=COMES_BACK)
    return sum(since <= begun <= until and over - begun >= lost for begun, over in evidence.troubles)
