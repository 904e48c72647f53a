"""Every stop has a reason that holds, takes effect at its own instant, and comes in time."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal

from orchestrator.rules.states import TERMINAL, PlacementState, State, StopReason
from orchestrator.rules.values import Placement, Session
from orchestrator.simulator import Call
from tests.simulation.evidence import Evidence, Told
from tests.simulation.treasury import STAMPS, cost, ended

Found = Iterator[tuple[str, str]]

PINGS = frozenset({"chat", "ping_native", "transcribe"})
#: A stop lets a ping that was just claimed begin before the close does.
PING_BEGINS = timedelta(seconds=2)


def every_stop_has_its_reason(evidence: Evidence) -> Found:
    """What is given as the reason is true of the session, and took effect when it became true."""
    for session in evidence.sessions.values():
        if not ended(session) or session.stop_reason is None or session.stopped_at is None:
            continue
        reason = session.stop_reason
        if reason in {StopReason.USER, StopReason.OPERATOR}:
            if not _somebody_asked(evidence, session):
                yield session.id, f"closed by {reason}, and nobody asked for it"
        elif reason is StopReason.DEAD:
            yield from _death(evidence, session)
        else:
            instants = list(_instants(evidence, session, reason))
            if instants and not any(abs(session.stopped_at - at) <= STAMPS for at in instants):
                yield session.id, f"{reason} took effect at {session.stopped_at}, not at {instants}"
            yield from _is_used_up(session, reason)


def at_the_deadline(evidence: Evidence) -> Found:
    """Charged for the time up to the instant of the stop, and for no second of the time that it came late."""
    for session in evidence.sessions.values():
        if ended(session) and session.stopped_at is not None and session.running_at is not None:
            ran = timedelta(microseconds=session.ran_microseconds)
            if ran > max(timedelta(0), session.stopped_at - session.running_at):
                yield session.id, f"RUNNING for {ran}, from {session.running_at} to {session.stopped_at}"
            if session.charged > cost(session, ran):
                yield session.id, f"charged {session.charged} for {ran}"


def decided_in_time(evidence: Evidence) -> Found:
    """From the instant of a stop to its event."""
    for session, late, troubled in lateness(evidence):
        allowed = evidence.late + troubled
        if late > allowed:
            what = f"{session.stop_reason} of {session.stopped_at}"
            yield session.id, f"{what} was decided {late} late, allowed {allowed}"


def lateness(evidence: Evidence) -> Iterator[tuple[Session, timedelta, timedelta]]:
    """Of each stop, how much later than its instant it was decided, and how much of that was trouble."""
    for session in evidence.sessions.values():
        told = _stop_told(evidence, session)
        if told is not None and session.stopped_at is not None:
            troubled = evidence.trouble_between(session.stopped_at, told.at)
            yield session, told.at - session.stopped_at, troubled


def closed_in_time(evidence: Evidence) -> Found:
    """From the decision to the end at the platform, unless the platform itself would not."""
    ours = {(p.provider, p.handle): p for p in evidence.placements if p.handle}
    for there in evidence.upstream:
        placement = ours.get((there.upstream, there.id))
        wanted = _closing_since(placement)
        if wanted is None or there.closed_at is None or there.upstream in evidence.not_ours:
            continue
        ended_at = evidence.at(there.closed_at)
        allowed = evidence.late + PING_BEGINS + evidence.trouble_between(wanted, ended_at)
        if ended_at - wanted > allowed and not _had_faults(evidence, there.upstream, wanted, ended_at):
            yield there.id, f"wanted closed at {wanted}, ended {ended_at - wanted} later, allowed {allowed}"


def _somebody_asked(evidence: Evidence, session: Session) -> bool:
    """A job whose outcome is this session, over or about to be."""
    over = {state.value for state in TERMINAL | {State.STOPPING}}
    outcomes = (outcome for outcome in evidence.inbox.values() if outcome is not None and outcome.get("ok"))
    results = (outcome["result"] for outcome in outcomes)
    return any(result.get("id") == session.id and result.get("state") in over for result in results)


def _instants(evidence: Evidence, session: Session, reason: StopReason) -> Iterator[datetime]:
    """When this reason may have become true; nothing where the row does not tell."""
    policy = evidence.config.policy_for(session.provider)
    plan = evidence.config.plan(evidence.accounts[session.account_id].plan)
    started, ran = session.starting_at, session.running_at
    match reason:
        case StopReason.MAX_DURATION if ran is not None:
            limits = (session.max_duration_seconds, session.plan_max_duration_seconds)
            yield ran + timedelta(seconds=min(limit for limit in limits if limit is not None))
        case StopReason.MODEL_LIMIT | StopReason.MAX_INTERACTIONS:
            if ran is not None and session.model_max_duration_seconds is not None:
                yield ran + timedelta(seconds=session.model_max_duration_seconds)
            if session.limit_reached_at is not None:
                yield session.limit_reached_at
        case StopReason.IDLE if session.idle_seconds is not None:
            entries = [e.at for e in evidence.told_of[session.id] if e.kind == "session.running"]
            used = [session.last_interaction_at] if session.last_interaction_at else []
            yield max([*entries, *used]) + timedelta(seconds=session.idle_seconds)
        case StopReason.START_TIMEOUT if started is not None:
            yield started + timedelta(seconds=policy.start_timeout_seconds)
        case StopReason.QUEUE_TIMEOUT if session.queued_at is not None and plan is not None:
            yield session.queued_at + timedelta(seconds=plan.queue_timeout_seconds)
        case _:
            return


def _is_used_up(session: Session, reason: StopReason) -> Found:
    """The limits that count something else than time."""
    own, model = session.max_interactions, session.model_max_interactions
    limits = [limit for limit in (own, model) if limit is not None]
    by_count = reason is StopReason.MAX_INTERACTIONS
    if by_count and (not limits or session.interactions < min(limits)):
        yield session.id, f"stopped for {session.interactions} interactions, the limits are {limits}"
    block = timedelta(seconds=session.block_seconds)
    ran = timedelta(microseconds=session.ran_microseconds)
    if reason is StopReason.MAX_COST and cost(session, ran + block) <= (session.max_cost or Decimal(0)):
        yield session.id, f"stopped for its max_cost of {session.max_cost}, which pays one block more"


def _death(evidence: Evidence, session: Session) -> Found:
    """Either it could not be started again in time, or its platform's log shows that it answered nobody."""
    assert session.stopped_at is not None
    policy = evidence.config.policy_for(session.provider)
    started = session.starting_at
    timeout = timedelta(seconds=policy.start_timeout_seconds)
    if started is not None and abs(session.stopped_at - started - timeout) <= STAMPS:
        return
    placements = evidence.of_session.get(session.id, ())
    if not placements or placements[-1].state is PlacementState.NEVER_OPENED:
        return  # it was to be moved, and there was no place
    last = placements[-1]
    if ended_there(evidence, last, session.stopped_at):
        return
    bad = _bad_pings(evidence, last, session.stopped_at)
    needed = min(2, policy.dead_after_failures)
    if len(bad) < needed:
        yield session.id, f"dead at {session.stopped_at} after {len(bad)} bad pings, {needed} are needed"


def _bad_pings(evidence: Evidence, placement: Placement, until: datetime) -> list[Call]:
    """Those that could be of this placement, within the time that makes it dead."""
    policy = evidence.config.policy_for(placement.provider)
    longest = max(policy.dead_after_seconds + 3 * policy.ping_interval_seconds, policy.unusable_after_seconds)
    since = (
        until - timedelta(seconds=2 * longest) - evidence.trouble_between(until - timedelta(hours=2), until)
    )
    return [
        call
        for call in evidence.calls_at.get(placement.provider, ())
        if call.session in (None, placement.handle)
        and call.operation in PINGS | {"status", "session", "list"}
        and since <= evidence.at(call.began_at) <= until
        and (call.fault is not None or call.status is None or call.status >= 400)
    ]


def ended_there(evidence: Evidence, placement: Placement, by: datetime) -> bool:
    return any(
        there.upstream == placement.provider
        and there.id == placement.handle
        and there.closed_at is not None
        and evidence.at(there.closed_at) <= by
        for there in evidence.upstream
    )


def _stop_told(evidence: Evidence, session: Session) -> Told | None:
    kinds = {"session.stopping", "session.stopped", "session.failed"}
    return next((e for e in evidence.told_of.get(session.id, ()) if e.kind in kinds), None)


def _closing_since(placement: Placement | None) -> datetime | None:
    """Since when its end was wanted and could be brought about."""
    if placement is None or placement.session_id is None or placement.opened_at is None:
        return None
    return max(placement.closing_since, placement.opened_at) if placement.closing_since else None


def _had_faults(evidence: Evidence, upstream: str, since: datetime, until: datetime) -> bool:
    """The platform refused, lost or delayed a call that was about the end."""
    return any(
        since <= evidence.at(call.began_at) <= until
        and call.operation not in {"chat", "transcribe"}
        and (call.fault is not None or call.status is None or call.status >= 400)
        for call in evidence.calls_at.get(upstream, ())
    )
