"""Delete sessions that ended long enough ago, where the installation or the account's plan says so: they stop counting
against `max_sessions`, and their names are free."""

from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import timedelta

from orchestrator.flows.account_work import AccountWork, on_account
from orchestrator.flows.services import Services
from orchestrator.flows.upkeep import until_done
from orchestrator.rules.retention import deleted_event
from orchestrator.store.unit import Transaction

#: Accounts of one plan that are looked at together, and sessions of one account that are deleted in one transaction.
ACCOUNTS, SESSIONS = 100, 50


def delete_ended(services: Services) -> int:
    """Return how many were deleted. It goes on until none is left, or until the process begins to leave."""
    after = services.config.delete_after()
    done = sum(_delete(services, [plan], span) for plan, span in sorted(after.plans.items()))
    if after.others is not None:
        done += _delete(services, sorted(after.own), after.others, others=True)
    return done


def _delete(services: Services, plans: Collection[str], span: timedelta, *, others: bool = False) -> int:
    done = 0
    while not services.slots.closed:
        with services.database.reading() as tx:
            found = tx.retention.accounts_with_ended(plans, tx.now() - span, ACCOUNTS, others=others)
        deleted = sum(until_done(services, _batch(services, account_id, span)) for account_id in found)
        if not deleted:
            break
        done += deleted
    return done


def _batch(services: Services, account_id: str, span: timedelta) -> Callable[[Transaction], int]:
    """An account that is in use is left for the next run."""

    def delete(tx: Transaction) -> int:
        work = on_account(services, tx, account_id, waits=False)
        if work is None:
            return 0
        deleted = _live(work, span) + _archived(work, span)
        if deleted:
            work.place_freed()
        work.finish()
        return deleted

    return delete


def _live(work: AccountWork, span: timedelta) -> int:
    ids = work.tx.retention.ended_before(work.account.id, work.now - span, SESSIONS)
    for session_id in sorted(ids):
        session = work.tx.sessions.lock(session_id)
        assert session is not None  # it leaves only under the account's lock
        work.keep(session, replace(session, deleted_at=work.now))
    return len(ids)


def _archived(work: AccountWork, span: timedelta) -> int:
    found = work.tx.archive.ended_before(work.account.id, work.now - span, SESSIONS)
    work.tx.archive.mark_deleted([one.id for one in found], work.now)
    work.tx.outbox.add(map(deleted_event, found))
    return len(found)
