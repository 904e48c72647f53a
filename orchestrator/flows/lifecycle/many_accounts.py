"""Many accounts under their locks in one transaction: what their stops need is read, and what changes is written, in a
few statements however many accounts there are."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from orchestrator.flows.engine import crowd
from orchestrator.flows.engine.services import Services
from orchestrator.flows.lifecycle import due_stops
from orchestrator.flows.lifecycle.account_work import AccountWork, PrefetchedAccount, lock_account
from orchestrator.rules.values import Account
from orchestrator.store.queries.usage import Standing
from orchestrator.store.transaction import Transaction

#: A transaction that closes placements applies the due stops of so many accounts at most.
STOPPED_BESIDE = 10


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
            if due_stops.apply_due_stops(work, crowd.STOPS_AT_ONCE):
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
    due = [one for one, standing in standings.items() if due_stops.is_due(accounts[one], standing, now)]
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
        return [work for work in works if due_stops.apply_due_stops(work, crowd.STOPS_AT_ONCE)]


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
    due = [one for one, standing in standings.items() if due_stops.is_due(accounts[one], standing, now)]
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
