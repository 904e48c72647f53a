"""Stop a session with effect at an instant; start the running time of one that answered its first ping."""

from datetime import datetime

from orchestrator.flows.lifecycle import transitions
from orchestrator.flows.lifecycle.account_work import AccountWork
from orchestrator.rules import events
from orchestrator.rules.billing.money import end_reason, payer_of
from orchestrator.rules.refusals import ErrorCode
from orchestrator.rules.sessions.pings import at_rest
from orchestrator.rules.sessions.stops import idle_by
from orchestrator.rules.states import UNENDED, State, StopReason, end_state
from orchestrator.rules.values import Session
from orchestrator.rules.values.copies import replace


def stop(
    work: AccountWork, session: Session, reason: StopReason, at: datetime, detail: str | None
) -> Session:
    """Decide the end of a session, with effect at `at`, or earlier when its idle time ran out. Its placements are
    closed by others. `session`: locked and up to date."""
    idle = idle_by(session, work.policy(session), at)
    if idle is not None:
        return end(work, session, idle.reason, idle.at, idle.detail)
    return end(work, session, reason, at, detail)


def end(work: AccountWork, before: Session, reason: StopReason, at: datetime, detail: str | None) -> Session:
    """Stop a session for exactly this reason, with effect at `at`. `before`: locked."""
    placements = [
        transitions.begin_close(work, placement, before) for placement in work.lock_placements(before.id)
    ]
    work.placements[before.id] = placements
    over = not any(placement.state in UNENDED for placement in placements)
    state = end_state(reason, ever_ran=before.ever_ran) if over else State.STOPPING
    stopped = replace(
        work.stop_running(before, at),
        state=state,
        stop_reason=reason,
        stop_detail=detail,
        stopped_at=at,
        ended_at=work.now if over else None,
    )
    saved = work.keep(before, at_rest(stopped))
    if before.queue_reason == ErrorCode.NO_CAPACITY:
        transitions.wake_next_waiter(work, before)
    if reason is StopReason.BALANCE_EXHAUSTED:
        work.tx.outbox.add([events.exhausted(work.account, saved)])
    return saved


def start_running(work: AccountWork, before: Session, noted: Session) -> Session:
    """Start the clock of duration and money at the first good ping, if the balance, and each budget with a hard stop,
    pays the first block."""
    running = replace(
        noted,
        state=State.RUNNING,
        running_at=noted.running_at or work.now,
        running_since=work.now,
        stop_detail=None,  # why its last placement ended, if it moved
        lease=None,
        attempts=0,
    )
    for limit in work.limits(work.account):
        if not work.burning.can_begin(limit.left, running, work.now):
            detail = f"{payer_of(limit.by)} cannot pay its first block"
            return stop(work, before, end_reason(limit.by), work.now, detail)
    return work.keep(before, work.planned(running))
