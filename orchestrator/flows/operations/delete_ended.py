"""Delete sessions that ended long enough ago, if the installation or the account's plan asks for it: they no longer
count against `max_sessions`, and their names become free."""

import logging
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import timedelta

from orchestrator.flows.engine.crowd import StopsFirst
from orchestrator.flows.engine.services import Services
from orchestrator.flows.lifecycle.account_work import AccountWork
from orchestrator.flows.lifecycle.due_stops import on_account
from orchestrator.rules.installation.retention import deleted_event
from orchestrator.store.queries.retention import Skip
from orchestrator.store.transaction import Transaction
from orchestrator.store.unreadable import is_about_a_row

log = logging.getLogger(__name__)

#: Accounts of one plan that one query reads, and sessions of one account that one transaction deletes.
ACCOUNTS, SESSIONS = 100, 50


def delete_ended(services: Services) -> int:
    """Delete until none is left that can be deleted, or until the process leaves. Return how many were deleted."""
    after = services.config.delete_after()
    run = _DeletionRun(services)
    done = sum(run.plans([plan], span) for plan, span in sorted(after.plans.items()))
    if after.others is not None:
        done += run.plans(sorted(after.own), after.others, others=True)
    return done


class _DeletionRun:
    """One run: what it deletes, and the rows that it could not read and leaves to the next run."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._skip = Skip()

    def plans(self, plans: Collection[str], span: timedelta, *, others: bool = False) -> int:
        """Delete sessions that ended this long ago, of accounts with these plans, or of all other accounts."""
        done = 0
        while not self._services.slots.closed:
            skipped = self._skip.number
            with self._services.database.reading() as tx:
                before = tx.now() - span
                found = tx.retention.accounts_with_ended(
                    plans, before, ACCOUNTS, others=others, skip=self._skip
                )
            deleted = sum(self._delete_of_account(account_id, span) for account_id in found)
            if not deleted and self._skip.number == skipped:
                break
            done += deleted
        return done

    def _delete_of_account(self, account_id: str, span: timedelta) -> int:
        """Delete batch by batch, each in a short transaction of its own, until a batch is empty."""
        done = 0
        while not self._services.slots.closed and account_id not in self._skip.accounts:
            skipped = self._skip.number
            with self._services.database.reading() as tx:
                ids = tx.retention.ended_before(account_id, tx.now() - span, SESSIONS, self._skip)
            try:
                gone = self._delete(account_id, ids) if ids else 0
            except StopsFirst:  # stops of the account come first: the next run finds it
                break
            done += gone
            if not gone and self._skip.number == skipped:
                break
        return done

    def _delete(self, account_id: str, ids: Sequence[str]) -> int:
        """Delete these in one transaction. If a row cannot be read, delete each half in its own, down to that row."""

        def delete(tx: Transaction) -> int:
            return _delete_batch(self._services, tx, account_id, ids)

        try:
            return self._services.database.transact(delete)
        except StopsFirst:
            raise
        except Exception as error:
            if not is_about_a_row(error):
                raise
            return self._leave_out(account_id, ids, error)

    def _leave_out(self, account_id: str, ids: Sequence[str], error: Exception) -> int:
        if not ids:
            log.error("cannot delete the ended sessions of account %s: %s", account_id, type(error).__name__)
            self._skip.accounts.add(account_id)
            return 0
        if len(ids) == 1:
            self._delete(account_id, ())  # raises if the account itself cannot be read
            if account_id not in self._skip.accounts:
                log.error("cannot delete session %s: %s", ids[0], type(error).__name__)
                self._skip.sessions.add(ids[0])
            return 0
        half = len(ids) // 2
        done = self._delete(account_id, ids[:half])
        return done if account_id in self._skip.accounts else done + self._delete(account_id, ids[half:])


def _delete_batch(services: Services, tx: Transaction, account_id: str, ids: Sequence[str]) -> int:
    """Delete a batch and return its size; a locked account is left for the next run."""
    work = on_account(services, tx, account_id, waits=False)
    if work is None:
        return 0
    deleted = _delete_live(work, ids) + _delete_archived(work, ids)
    if deleted:
        work.note_freed_capacity()
    work.finish()
    return deleted


def _delete_live(work: AccountWork, ids: Sequence[str]) -> int:
    """Delete those that are still there, and return how many: another run may have deleted or archived some of them."""
    found = work.tx.sessions.lock_all(ids)
    kept = [session for session in found.values() if session.deleted_at is None]
    for session in kept:
        work.keep(session, replace(session, deleted_at=work.now))
    return len(kept)


def _delete_archived(work: AccountWork, ids: Sequence[str]) -> int:
    found = work.tx.archive.kept(ids)
    work.tx.archive.mark_deleted([one.id for one in found], work.now)
    work.tx.outbox.add(map(deleted_event, found))
    return len(found)
