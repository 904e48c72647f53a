"""Act on a difference between a provider's list and our rows, after deciding again on the rows as they are now."""

import logging
from dataclasses import replace
from typing import assert_never

from orchestrator.flows.engine import failures
from orchestrator.flows.engine.services import Services
from orchestrator.flows.lifecycle import orphans
from orchestrator.flows.lifecycle.account_work import AccountWork
from orchestrator.flows.lifecycle.due_stops import on_account, run_after_stops
from orchestrator.flows.steps.ping.settle_one import end_dead, give_up
from orchestrator.rules.reconcile.compare import is_unsure, still_serves
from orchestrator.rules.reconcile.lists import Action, Difference
from orchestrator.rules.sessions.decide import GiveUp, Stop, after_platform_status
from orchestrator.rules.states import Step
from orchestrator.rules.values import Due, Session
from orchestrator.store.transaction import Transaction

log = logging.getLogger(__name__)


def carry_out(services: Services, provider: str, ref: str | None, finding: Difference) -> bool:
    """Carry out the action of a difference; return whether anything was done. A failure is logged, and the next list
    shows the difference again."""

    def act(tx: Transaction) -> bool:
        match finding.action:
            case Action.ADOPT:
                return _adopt(tx, provider, finding)
            case Action.CLOSE:
                return _close(services, tx, provider, ref, finding)
            case Action.END:
                return _end(services, tx, finding)
            case Action.WAIT | Action.REPORT:
                return False
            case unknown:
                assert_never(unknown)

    try:
        return run_after_stops(services, act)
    except Exception as error:  # noqa: BLE001  (it is logged, and the next run finds it again)
        failures.log_failure(log, error, f"cannot act on {finding.handle} at {provider}")
        return False


def _adopt(tx: Transaction, provider: str, finding: Difference) -> bool:
    """Make the resolve of a lost open due now. Give it this handle as the candidate, if the name proves that it is the
    open's own."""
    placement = tx.placements.lock(finding.placement_id or "")
    now = tx.now()
    if placement is None or not is_unsure(placement, now):
        return False
    candidate = finding.handle if finding.certain else placement.candidate
    if candidate is not None and tx.placements.handle_is_known(provider, candidate):
        return False
    if placement.candidate not in (None, candidate):
        return False
    tx.placements.wake(Step.RESOLVE)
    due = replace(placement, candidate=candidate, due=Due(Step.RESOLVE, now))
    tx.placements.save(placement, due)
    return True


def _close(services: Services, tx: Transaction, provider: str, ref: str | None, finding: Difference) -> bool:
    """Add an orphan's row. Its close is an ordinary step, retried until there is proof."""
    if finding.resource is None or tx.placements.handle_is_known(provider, finding.handle):
        return False
    now = tx.now()
    why = f"found in the provider's list: {finding.why}"
    origin = tx.placements.get(finding.placement_id) if finding.placement_id else None
    if origin is None:
        orphans.add_unknown_resource(services, tx, provider, ref, finding.resource, now, finding.since, why)
    else:  # the key that lists it now can close it, even if another key opened it
        fingerprint = None if ref is None else services.secrets.fingerprint(ref)
        seen = replace(origin, credential=ref, fingerprint=fingerprint)
        orphans.add_of(services, tx, seen, finding.handle, now, finding.resource.ends_at, why)
    return True


def _end(services: Services, tx: Transaction, finding: Difference) -> bool:
    """End the placement's session, or move it, unless it has answered or changed since."""
    placement = tx.placements.get(finding.placement_id or "")
    if placement is None or placement.account_id is None or placement.session_id is None:
        return False
    work = on_account(services, tx, placement.account_id)
    session = tx.sessions.lock(placement.session_id)
    current = tx.placements.lock(placement.id)
    if work is None or session is None or current is None:
        return False
    ended = still_serves(session, current, finding) and _end_session(work, session, finding)
    work.finish()
    return ended


def _end_session(work: AccountWork, session: Session, finding: Difference) -> bool:
    """End the session as a ping does that the platform's own status confirms: no brake holds that."""
    match after_platform_status(session, work.now, finding.why, expired=finding.expired):
        case Stop() as ending:
            end_dead(work, session, ending, confirmed=True)
        case GiveUp(detail=detail):
            give_up(work, session, session, detail)
        case _:
            return False
    return True
