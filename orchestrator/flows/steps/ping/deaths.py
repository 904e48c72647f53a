"""End a session that was found dead, move it, or let a brake hold it."""

from orchestrator.flows.lifecycle import failover, stops, transitions
from orchestrator.flows.lifecycle.account_work import AccountWork
from orchestrator.flows.upstream import brake
from orchestrator.rules.sessions.decide import Stop
from orchestrator.rules.sessions.stops import idle_by
from orchestrator.rules.states import StopReason
from orchestrator.rules.upstream.brake import paid_until, slowed
from orchestrator.rules.values import Session


def end(work: AccountWork, session: Session, ending: Stop, *, confirmed: bool) -> bool:
    """Stop a session that was found dead, or move it. Return False if a brake holds it instead.

    `confirmed`: the platform itself says so. No brake holds such a session, and it does not count against the
    provider."""
    lost = ending.reason is StopReason.DEAD and not confirmed
    frozen = lost and brake.freezes(work, session)
    at = paid_until(session, work.now) if ending.reason is StopReason.DEAD else work.now
    if frozen and not brake.may_leave(work, session):
        return _held(work, session)
    idle = idle_by(session, work.policy(session), at) is not None  # it ends as that, and need not move
    if not idle and failover.move_on(work, session, at, ending.detail, lost=lost, beside_brakes=frozen):
        return True
    if frozen:
        return _held(work, session)
    if lost:
        transitions.note_lost(work.tx, session, work.now)
    stops.stop(work, session, ending.reason, at, ending.detail)
    return True


def _held(work: AccountWork, session: Session) -> bool:
    """Keep the session running, and ping it less often."""
    work.keep(session, work.planned(slowed(session, work.policy(session), work.now)))
    return False
