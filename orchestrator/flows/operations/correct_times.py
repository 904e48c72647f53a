"""After the clock went back: correct rows with times in the future, and reverse what was charged for time that did not
pass. It may run twice, and while everything else runs."""

import logging
from dataclasses import replace
from datetime import datetime, timedelta

from orchestrator.flows.audit.auditor import wait_limits_at
from orchestrator.flows.engine.batch import PUT_OFF, Tally, each
from orchestrator.flows.engine.crowd import AccountBusy
from orchestrator.flows.engine.services import Services
from orchestrator.flows.lifecycle.account_work import AccountWork
from orchestrator.flows.lifecycle.due_stops import on_account, stop_all
from orchestrator.rules.billing.funds import POST_EVERY
from orchestrator.rules.installation import correction
from orchestrator.rules.sessions.decide import plan_steps
from orchestrator.rules.states import ACTIVE, State, Step
from orchestrator.rules.values import Session
from orchestrator.store.transaction import Transaction
from orchestrator.store.unreadable import is_about_a_row

log = logging.getLogger(__name__)


def correct_times(services: Services, shift: timedelta, *, upkeep: bool = True) -> Tally:
    """Correct the rows; return how many accounts and placements were checked, and how many could not be corrected.
    `shift`: how far the time went back. `upkeep`: the platform's own rows too, such as leases and pauses."""
    if upkeep and shift > timedelta(0):
        services.database.transact(lambda tx: tx.ahead.correct_upkeep(shift, tx.now()))
    accounts, placements = _correct_accounts(services, shift), _correct_placements(services, shift)
    return Tally(claimed=accounts.claimed + placements.claimed, failed=accounts.failed + placements.failed)


def _correct_accounts(services: Services, shift: timedelta) -> Tally:
    """Correct sessions before their placements, which say when a stop was decided. An account with an unreadable row
    counts as failed; its readable rows are corrected anyway."""
    with services.database.reading() as tx:
        accounts = tx.ahead.accounts(tx.now())
    failed = {account_id for account_id in accounts if not _apply_stops(services, account_id)}

    def correct(tx: Transaction, account_id: str) -> None:
        work = on_account(services, tx, account_id)
        if work is None:
            return
        for session_id in tx.ahead.sessions(account_id, work.now):
            _correct_session(work, session_id, shift)
        _finish(work, shift)

    def put_off(tx: Transaction, account_id: str) -> None:
        failed.add(account_id)
        tx.accounts.put_off(account_id, tx.now() + PUT_OFF)

    done = each(services, [one for one in accounts if one not in failed], correct, put_off)
    for account_id in sorted(failed):
        _correct_apart(services, account_id, shift)
    return Tally(claimed=len(accounts), failed=len(accounts) - done.settled)


def _apply_stops(services: Services, account_id: str) -> bool:
    try:
        stop_all(services, account_id)
    except AccountBusy:
        return True  # its correction would find it locked as well: it waits for the next pass
    except Exception as error:
        if not is_about_a_row(error):
            raise
        log.error("the due stops of account %s cannot be applied (%s)", account_id, type(error).__name__)
        return False
    return True


def _correct_apart(services: Services, account_id: str, shift: timedelta) -> None:
    """Correct each session by itself: first the times of live ones, which need no account, then times and money of
    each; the funds last.

    Stopped sessions are found by their times, so these are left alone until the money is corrected too."""
    with services.database.reading() as tx:
        sessions = tx.ahead.sessions(account_id, tx.now())

    def times(tx: Transaction, session_id: str) -> None:
        tx.accounts.hold(account_id)
        session = tx.sessions.lock(session_id)
        if session is not None and session.stopped_at is None:
            _correct_times_of(services, tx, session, shift, tx.now())

    def money(tx: Transaction, session_id: str) -> None:
        account = tx.accounts.lock(account_id)
        if account is not None:
            work = AccountWork(services, tx, account, tx.now())
            _correct_session(work, session_id, shift)
            work.finish_without_funds()

    def funds(tx: Transaction, account_id: str) -> None:
        account = tx.accounts.lock(account_id)
        if account is not None:
            _finish(AccountWork(services, tx, account, tx.now()), shift)

    each(services, sessions, times, _stays_due)
    each(services, sessions, money, _stays_due)
    each(services, [account_id], funds, _stays_due)


def _finish(work: AccountWork, shift: timedelta) -> None:
    work.account = correction.corrected_account(work.account, shift, work.now, POST_EVERY)
    work.recompute_funds()
    work.finish()


def _correct_session(work: AccountWork, session_id: str, shift: timedelta) -> None:
    found = work.tx.sessions.lock(session_id)
    if found is None:
        return
    before = _correct_times_of(work.services, work.tx, found, shift, work.now)
    work.remember(found, before)
    if not before.ever_ran:
        return
    cost = correction.cost(before, work.now)
    after = work.reverse_cost(before, cost, "charged by a clock that was ahead")
    if after != before:
        work.keep(before, after)


def _correct_times_of(
    services: Services, tx: Transaction, before: Session, shift: timedelta, now: datetime
) -> Session:
    """Return the session with its times corrected."""
    return tx.sessions.save(before, _corrected(services, tx, before, shift, now))


def _corrected(
    services: Services, tx: Transaction, session: Session, shift: timedelta, now: datetime
) -> Session:
    if session.state not in ACTIVE | {State.QUEUED}:
        return correction.corrected_stop(session, tx.ahead.decided_at(session.id, now), shift, now)
    longest = wait_limits_at(services, session.provider).waits[Step.PING]
    corrected = correction.corrected_session(session, shift, now, longest)
    return plan_steps(corrected, services.policy(session.provider), now, ping_at=corrected.ping_at)


def _stays_due(_tx: Transaction, _row: str) -> None:
    """Postpone nothing: the next pass tries the row again."""


def _correct_placements(services: Services, shift: timedelta) -> Tally:
    with services.database.reading() as tx:
        now = tx.now()
        furthest = max(
            wait_limits_at(services, name).waits[Step.RESOLVE] for name in (None, *services.config.providers)
        )
        found = tx.ahead.placements(now, now + furthest)

    def correct(tx: Transaction, placement_id: str) -> None:
        before = tx.placements.lock(placement_id)
        if before is None:
            return
        waits = wait_limits_at(services, before.provider).waits
        longest = waits.get(before.due.step if before.due else Step.RESOLVE, waits[Step.RESOLVE])
        after = correction.corrected_placement(before, shift, tx.now(), longest)
        if before.session_id is not None and tx.ahead.lies_ahead(before.session_id, tx.now()):
            after = replace(
                after, closing_since=before.closing_since
            )  # the correction of its session needs this time later
        tx.placements.save(before, after)

    return each(services, found, correct, _stays_due)
