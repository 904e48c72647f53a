"""Every stop has a true reason, which became true at that very instant."""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta

from orchestrator.rules.states import TERMINAL, State, StopReason
from orchestrator.rules.values import Session
from tests.simulation.deaths import is_said_to_have_expired, no_death, no_start
from tests.simulation.evidence import Evidence, stop_event
from tests.simulation.funds import pays_the_next_block, spent_with_the_next_block
from tests.simulation.ledger_oracle import STAMPS, cost_of_blocks, ended

Found = Iterator[tuple[str, str]]


def every_stop_has_its_reason(evidence: Evidence) -> Found:
    """Check that the given reason is true of the session, and took effect when it became true."""
    for session in evidence.sessions.values():
        if ended(session) and session.stop_reason is not None and session.stopped_at is not None:
            for why in _UNTRUE[session.stop_reason](evidence, session, session.stopped_at):
                yield session.id, f"{session.stop_reason}: {why}"


def _no_job_asked(evidence: Evidence, session: Session, _at: datetime) -> Iterator[str]:
    """Yield where no job's outcome is this session, over or about to be."""
    over = {state.value for state in TERMINAL | {State.STOPPING}}
    outcomes = (outcome for outcome in evidence.inbox.values() if outcome is not None and outcome.get("ok"))
    results = (outcome["result"] for outcome in outcomes)
    if not any(result.get("id") == session.id and result.get("state") in over for result in results):
        yield "no job asked for it"


def _not_its_end(evidence: Evidence, session: Session, at: datetime) -> Iterator[str]:
    """Yield where the end was noticed before the declared one: that is a death, unless the platform itself said so."""
    placements = evidence.of_session.get(session.id, ())
    declared = placements[-1].declared_end_at if placements else None
    if declared is None or at < declared - STAMPS:
        if not placements or not is_said_to_have_expired(evidence, placements[-1], at):
            yield f"it took effect at {at}, the declared end is {declared}"
        yield from no_death(evidence, session, at)
    elif at > declared + STAMPS:  # the clock did not end it
        yield from no_death(evidence, session, at)


def _is_funded(evidence: Evidence, session: Session, at: datetime) -> Iterator[str]:
    if pays_the_next_block(evidence, session, at):
        yield f"the balance pays the block that begins at {at}"


def _is_within_its_budget(evidence: Evidence, session: Session, at: datetime) -> Iterator[str]:
    """Yield where no budget stops sessions, or where even all that the account has used leaves the next block."""
    amounts = [one.amount for one in evidence.accounts[session.account_id].budgets if one.hard_stop]
    if not amounts:
        yield "its account has no budget with a hard stop"
    elif spent_with_the_next_block(evidence, session, at) <= min(amounts):
        yield f"the budget pays the block that begins at {at}"


def _is_within_its_cost(evidence: Evidence, session: Session, _at: datetime) -> Iterator[str]:
    block = timedelta(seconds=session.block_seconds)
    ran = timedelta(microseconds=session.ran_microseconds) + evidence.stamps
    if session.max_cost is None or cost_of_blocks(session, ran // block + 1) <= session.max_cost:
        yield f"{session.max_cost} pays its next block"


def _did_not_fail(evidence: Evidence, session: Session, at: datetime) -> Iterator[str]:
    yield from _ran(session)
    yield from no_start(evidence, session, at)


def _was_not_late(evidence: Evidence, session: Session, at: datetime) -> Iterator[str]:
    yield from _ran(session)
    yield from _not_at_its_instant(evidence, session, at)


def _ran(session: Session) -> Iterator[str]:
    if session.running_at is not None:
        yield f"it ran from {session.running_at} on"


def _was_in_use(evidence: Evidence, session: Session, at: datetime) -> Iterator[str]:
    """Yield where a use that was reported before the stop was decided did not move it."""
    yield from _not_at_its_instant(evidence, session, at)
    stop, idle = stop_event(evidence, session), timedelta(seconds=session.idle_seconds or 0)
    for session_id, used, heard in evidence.uses:
        if session_id == session.id and stop is not None and heard < stop.at and at < used + idle - STAMPS:
            yield f"it took effect at {at}, used at {used}, as was heard by {heard}"


def _not_at_its_instant(evidence: Evidence, session: Session, at: datetime) -> Iterator[str]:
    assert session.stop_reason is not None
    instants = list(_instants(evidence, session, session.stop_reason))
    if not any(abs(at - instant) <= STAMPS for instant in instants):
        yield f"it took effect at {at}, not at any of {[str(instant) for instant in instants]}"


def _instants(evidence: Evidence, session: Session, reason: StopReason) -> Iterator[datetime]:
    """Yield when a rule of time or number may have become true; nothing where the session has no such limit."""
    stop = stop_event(evidence, session)
    before = stop.data.get("previous_state") if stop is not None else None
    match reason:
        case StopReason.START_TIMEOUT if session.starting_at is not None and before == State.STARTING:
            seconds = evidence.config.policy_for(session.provider).start_timeout_seconds
            yield session.starting_at + timedelta(seconds=seconds)
        case StopReason.QUEUE_TIMEOUT if session.queued_at is not None and before == State.QUEUED:
            plan = evidence.config.plan(evidence.accounts[session.account_id].plan)
            if plan is not None:
                yield session.queued_at + timedelta(seconds=plan.queue_timeout_seconds)
        case StopReason.MAX_DURATION:
            limits = session.max_duration_seconds, session.plan_max_duration_seconds
            yield from _since_it_ran(session, min((n for n in limits if n is not None), default=None))
        case StopReason.MODEL_LIMIT:
            yield from _since_it_ran(session, session.model_max_duration_seconds)
            yield from _counted(session, session.model_max_interactions)
        case StopReason.MAX_INTERACTIONS:
            yield from _counted(session, session.max_interactions)
        case StopReason.IDLE if session.idle_seconds is not None:
            entries = [e.at for e in evidence.events_of[session.id] if e.kind == "session.running"]
            used = [session.last_interaction_at] if session.last_interaction_at else []
            yield max([*entries, *used]) + timedelta(seconds=session.idle_seconds)


def _since_it_ran(session: Session, seconds: int | None) -> Iterator[datetime]:
    if session.running_at is not None and seconds is not None:
        yield session.running_at + timedelta(seconds=seconds)


def _counted(session: Session, limit: int | None) -> Iterator[datetime]:
    if session.limit_reached_at is not None and limit is not None and session.interactions >= limit:
        yield session.limit_reached_at


#: The reason → its check, which yields why it is not true.
_UNTRUE: Mapping[StopReason, Callable[[Evidence, Session, datetime], Iterator[str]]] = {
    StopReason.USER: _no_job_asked,
    StopReason.OPERATOR: _no_job_asked,
    StopReason.MAX_DURATION: _not_at_its_instant,
    StopReason.MAX_INTERACTIONS: _not_at_its_instant,
    StopReason.IDLE: _was_in_use,
    StopReason.MAX_COST: _is_within_its_cost,
    StopReason.MODEL_LIMIT: _not_at_its_instant,
    StopReason.BUDGET_EXHAUSTED: _is_within_its_budget,
    StopReason.BALANCE_EXHAUSTED: _is_funded,
    StopReason.DEAD: no_death,
    StopReason.PROVIDER_ENDED: _not_its_end,
    StopReason.START_FAILED: _did_not_fail,
    StopReason.START_TIMEOUT: _was_not_late,
    StopReason.QUEUE_TIMEOUT: _was_not_late,
}
