"""After the clock went back: bring rows back that lie in the future, and reverse what was charged for time that did
not pass. It may run twice, and beside everything else."""

from datetime import datetime, timedelta

from orchestrator.flows.account_work import AccountWork, on_account, stop_all
from orchestrator.flows.auditor import patience_at
from orchestrator.flows.services import Services
from orchestrator.flows.upkeep import PUT_OFF, Tally, each
from orchestrator.rules import correction
from orchestrator.rules.funds import POST_EVERY
from orchestrator.rules.states import ACTIVE, State, Step
from orchestrator.rules.values import Session
from orchestrator.store.unit import Transaction


def correct_times(services: Services, shift: timedelta, *, upkeep: bool = True) -> Tally:
    """`shift`: how far the time went back. `upkeep`: the platform's own rows too, such as leases and pauses. Return how
    many accounts and placements were looked at, and how many of them could not be put right."""
    if upkeep and shift > timedelta(0):
        services.database.transact(lambda tx: tx.ahead.correct_upkeep(shift, tx.now()))
    accounts, placements = _correct_accounts(services, shift), _correct_placements(services, shift)
    return Tally(claimed=accounts.claimed + placements.claimed, failed=accounts.failed + placements.failed)


def _correct_accounts(services: Services, shift: timedelta) -> Tally:
    """Sessions before their placements, which say when a stop was decided."""
    with services.database.reading() as tx:
        accounts = tx.ahead.accounts(tx.now())

    for account_id in accounts:
        stop_all(services, account_id)

    def correct(tx: Transaction, account_id: str) -> None:
        work = on_account(services, tx, account_id)
        if work is None:
            return
        for session_id in tx.ahead.sessions(account_id, work.now):
            _correct_session(work, session_id, shift)
        work.account = correction.corrected_account(work.account, shift, work.now, POST_EVERY)
        work.look_at_funds()
        work.finish()

    return each(services, accounts, correct, lambda tx, row: tx.accounts.put_off(row, tx.now() + PUT_OFF))


def _correct_session(work: AccountWork, session_id: str, shift: timedelta) -> None:
    before = work.tx.sessions.lock(session_id)
    if before is None:
        return
    after = _corrected(work, before, shift)
    if after.ever_ran:
        cost = correction.cost(after, work.now)
        after = work.reverse_cost(after, cost, "charged by a clock that was ahead")
    if after != before:
        work.keep(before, after)


def _corrected(work: AccountWork, session: Session, shift: timedelta) -> Session:
    if session.state not in ACTIVE | {State.QUEUED}:
        return correction.corrected_stop(session, _decided_at(work, session), shift, work.now)
    longest = patience_at(work.services, session.provider).waits[Step.PING]
    return work.planned(correction.corrected_session(session, shift, work.now, longest))


def _decided_at(work: AccountWork, session: Session) -> datetime | None:
    """When its stop was decided, by a clock that was ahead: its placements say since when their end is wanted."""
    wanted = (one.closing_since for one in work.tx.placements.of_session(session.id))
    return min((at for at in wanted if at is not None and at > work.now), default=None)


def _correct_placements(services: Services, shift: timedelta) -> Tally:
    with services.database.reading() as tx:
        now = tx.now()
        furthest = max(
            patience_at(services, name).waits[Step.RESOLVE] for name in (None, *services.config.providers)
        )
        found = tx.ahead.placements(now, now + furthest)

    def correct(tx: Transaction, placement_id: str) -> None:
        before = tx.placements.lock(placement_id)
        if before is None:
            return
        waits = patience_at(services, before.provider).waits
        longest = waits.get(before.next_step or Step.RESOLVE, waits[Step.RESOLVE])
        tx.placements.save(before, correction.corrected_placement(before, shift, tx.now(), longest))

    return each(services, found, correct, lambda _tx, _row: None)
