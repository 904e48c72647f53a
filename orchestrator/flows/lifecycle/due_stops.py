"""Lock an account and apply its due stops before any other change.

Many accounts are locked in one transaction: what their stops need is read, and what changes is written, in a few
statements however many accounts there are."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from orchestrator.flows.engine import crowd
from orchestrator.flows.engine.crowd import StopsFirst
from orchestrator.flows.engine.services import Services
from orchestrator.flows.lifecycle import failover, transitions
from orchestrator.flows.lifecycle.account_work import (
    AccountWork,
    PrefetchedAccount,
    lock_account,
    lock_account_of,
)
from orchestrator.flows.lifecycle.overdue import Overdue
from orchestrator.rules.billing import money
from orchestrator.rules.billing.hard_stops import behind_since, stop_has_come
from orchestrator.rules.sessions.stops import Candidate
from orchestrator.rules.states import StopReason
from orchestrator.rules.values import Account, Session
from orchestrator.store.queries.newcomers import NewSessionFacts
from orchestrator.store.queries.usage import Standing
from orchestrator.store.transaction import Transaction

T = TypeVar("T")

#: A transaction that closes placements applies the due stops of this many accounts at most.
STOPPED_BESIDE = 10


def on_account(
    services: Services, tx: Transaction, account_id: str, *, waits: bool = True
) -> AccountWork | None:
    """Lock the account and apply its due stops; None if there is no such account.

    Without `waits`, for ticks, also None if another transaction holds it: what is due there is still due at the next
    tick. Raises AccountBusy, and StopsFirst: use `run_after_stops` for work that must not be postponed."""
    locked = lock_account(services, tx, account_id, waits=waits)
    return begin(services, tx, *locked) if locked is not None else None


def begin(
    services: Services,
    tx: Transaction,
    account: Account,
    now: datetime,
    standing: Standing | None = None,
    facts: NewSessionFacts | None = None,
) -> AccountWork:
    """Apply the due stops of a locked account at `now`. `standing`, and `facts` for a new session: None to
    read them here. Raises StopsFirst."""
    work = AccountWork(services, tx, account, now, facts)
    if apply_due_stops(work, crowd.STOPS_AT_ONCE, standing):
        raise StopsFirst(account.id)
    return work


def on_session(
    services: Services, tx: Transaction, session_id: str, account_id: str | None = None
) -> tuple[AccountWork, Session] | None:
    """Lock an account and then one of its sessions, and apply the account's due stops; None if there is no such
    session. `account_id`: saves a query if it is known. Raises StopsFirst, and AccountBusy."""
    if account_id is None:
        account = lock_account_of(services, tx, session_id)
    else:
        locked = lock_account(services, tx, account_id)
        account = locked[0] if locked is not None else None
    found = tx.sessions.lock_with_standing(session_id, account.id) if account is not None else None
    if account is None or found is None:
        return None
    session, standing = found
    work = begin(services, tx, account, tx.now(), standing)
    current = tx.sessions.get(session_id) if work.has_checked_stops else session
    return (work, current) if current is not None else None


def stop_some(services: Services, tx: Transaction, account_id: str) -> bool:
    """Apply the first due stops of the account; return True if more are due."""
    locked = lock_account(services, tx, account_id)
    if locked is None:
        return False
    work = AccountWork(services, tx, *locked)
    more = apply_due_stops(work, crowd.STOPS_AT_ONCE)
    work.finish()
    return more


def stop_all(services: Services, account_id: str) -> None:
    """Apply every due stop of the account, a bounded number in each transaction."""

    def stop(tx: Transaction) -> bool:
        return stop_some(services, tx, account_id)

    while services.database.transact(stop):
        pass


def run_after_stops(services: Services, work: Callable[[Transaction], T]) -> T:
    """Run `work` in one transaction. If too many stops come first, apply these, and run `work` again."""
    while True:
        try:
            return services.database.transact(work)
        except StopsFirst as first:
            stop_all(services, first.account_id)


def apply_due_stops(work: AccountWork, at_most: int | None = None, standing: Standing | None = None) -> bool:
    """Stop the sessions that should have stopped by now, each with effect at its rule's instant. Return True if more
    than `at_most` are due; the later ones are left. `standing`: if it was read already."""
    standing = standing or work.standing()
    work.note_standing(standing)
    if not is_due(work.account, standing, work.now):
        return False
    limit = None if at_most is None else at_most + 1
    found = work.first_overdue(limit)
    more = len(found) == limit
    known_until = found[-1].stop_at if more else None  # later stops were not read
    work.overdue = Overdue(work.policy, work.now, found)
    end, carried_out = _funds_end_so_far(work), 0
    while (stop := work.overdue.earliest(end, work.tx.sessions.get)) is not None:
        if carried_out == at_most:
            work.stopped_until = stop.due
            return True
        if known_until is not None and stop.due > known_until:
            work.stopped_until = known_until
            break
        work.begin_periods(stop.due)
        _carry_out(work, stop.session, stop.rule)
        carried_out += 1
        if end is not None:  # funds that last until now still last: fewer sessions never use them up sooner
            end = work.funds_end(stop.due)
    if not more:
        work.begin_periods(work.now)
    for session in work.overdue.planned_otherwise():
        work.keep(session, work.planned(session))
    return more


def is_due(account: Account, standing: Standing, now: datetime) -> bool:
    """Return whether a stop of the account may be due: a deadline has passed, its funds have ended, or the period of a
    budget that stops sessions."""
    return stop_has_come(account.funds_end_at, account.budgets, standing.earliest_stop, now)


def _funds_end_so_far(work: AccountWork) -> money.FundsEnd | None:
    """Return where the funds have ended by now; None if they last."""
    known = (work.account.funds_end_at, behind_since(work.account.budgets, work.now))
    since = min((at for at in known if at is not None), default=None)
    return work.funds_end(since) if since is not None and since <= work.now else None


def _carry_out(work: AccountWork, session: Session, due: Candidate) -> None:
    if due.reason is StopReason.PROVIDER_ENDED:
        work.read_again(session.id)
        if failover.move_on(work, session, due.at, due.detail):
            return
    before = work.lock_session(session.id)
    assert before is not None
    transitions.end(work, before, due.reason, due.at, due.detail)


def stop_many(
    services: Services,
    tx: Transaction,
    account_ids: Sequence[str],
    then: Callable[[AccountWork], None] = lambda _work: None,
) -> set[str]:
    """Apply the first due stops of these accounts, in this order; then do `then` to each that has no more. Return those
    that have more. Accounts that another transaction holds are left as they are."""
    accounts = tx.many_accounts.lock_free(account_ids)
    now = tx.now()
    known = _read(services, tx, accounts, now, tx.many_accounts.standings(accounts))
    works = [
        AccountWork(services, tx, accounts[one], now, known=known[one])
        for one in account_ids
        if one in accounts
    ]
    more = set()
    with tx.together():
        for work in works:
            if apply_due_stops(work, crowd.STOPS_AT_ONCE):
                more.add(work.account.id)
            else:
                then(work)
        finish_all(works)
    return more


@dataclass(frozen=True, slots=True)
class LockedAccounts:
    """Accounts under their locks, with their first due stops applied. End the work on each with `finish_all`."""

    ready: Mapping[str, AccountWork] = field(default_factory=dict)
    """By account id."""
    behind: Sequence[AccountWork] = ()
    """More stops of these are due: nothing else may be changed."""


def lock_many(
    services: Services, tx: Transaction, account_ids: Collection[str], *, waits: bool
) -> LockedAccounts:
    """Lock these accounts, and apply the due stops of a few. The others with due stops are left out, and those that
    another transaction holds; of a single one, `waits` waits for it. Raises AccountBusy."""
    if waits:
        (only,) = account_ids
        locked = lock_account(services, tx, only)
        if locked is None:
            return LockedAccounts()
        accounts, now = {only: locked[0]}, locked[1]
    else:
        accounts, now = tx.many_accounts.lock_free(account_ids), tx.now()
    standings = tx.many_accounts.standings(accounts)
    due = [one for one, standing in standings.items() if is_due(accounts[one], standing, now)]
    known = {one: PrefetchedAccount(standing=standings[one]) for one in accounts.keys() - set(due)}
    if due:
        stopped = {one: accounts[one] for one in due[:STOPPED_BESIDE]}
        known |= _read(services, tx, stopped, now, {one: standings[one] for one in stopped})
    works = {
        one: AccountWork(services, tx, accounts[one], now, known=known[one])
        for one in accounts
        if one in known
    }
    behind = _stop_first(tx, [works[one] for one in due if one in works]) if due else []
    ready = {one: work for one, work in works.items() if work not in behind}
    return LockedAccounts(ready, behind)


def _stop_first(tx: Transaction, works: Sequence[AccountWork]) -> Sequence[AccountWork]:
    """Apply the first due stops of each; return those that have more."""
    with tx.together():
        return [work for work in works if apply_due_stops(work, crowd.STOPS_AT_ONCE)]


def finish_all(works: Iterable[AccountWork]) -> None:
    """Finish each. Queues are woken first: what that reads comes after all that was gathered."""
    works = list(works)
    for work in works:
        work.wake_queue()
    for work in works:
        work.finish()


def _read(
    services: Services,
    tx: Transaction,
    accounts: Mapping[str, Account],
    now: datetime,
    standings: Mapping[str, Standing],
) -> Mapping[str, PrefetchedAccount]:
    """Read what their due stops need; sessions and placements are locked."""
    many = tx.many_accounts
    due = [one for one, standing in standings.items() if is_due(accounts[one], standing, now)]
    overdue = many.lock_overdue(due, now, crowd.STOPS_AT_ONCE + 1) if due else {}
    placements = tx.placements.lock_of([session.id for found in overdue.values() for session in found])
    grouped = [one for one in accounts if accounts[one].is_grouped]
    groups = tx.groups.of_all(grouped) if grouped else {}
    metered = many.metered([one for one in accounts if one not in groups], services.few_sessions + 1)
    return {
        one: PrefetchedAccount(
            standing=standing,
            overdue=overdue.get(one, ()),
            placements={session.id: placements[session.id] for session in overdue.get(one, ())},
            metered=metered.get(one),
            groups=groups.get(one),
        )
        for one, standing in standings.items()
    }
