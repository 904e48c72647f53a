"""Warn of coming stops: once for each threshold."""

from dataclasses import replace

from orchestrator.flows.engine.batch import PUT_OFF, Tally, each
from orchestrator.flows.engine.services import Services
from orchestrator.flows.lifecycle.account_work import AccountWork
from orchestrator.flows.lifecycle.due_stops import on_account
from orchestrator.rules.states import State, Step
from orchestrator.rules.values import Session
from orchestrator.rules.warnings import next_warning
from orchestrator.store.transaction import Transaction

Row = tuple[str, str]


def warn_due(services: Services, limit: int = 500) -> Tally:
    """Send every warning that is due."""
    with services.database.reading() as tx:
        due = tx.sessions.due(Step.WARN, tx.now(), limit)

    def warn(tx: Transaction, row: Row) -> None:
        work = on_account(services, tx, row[1], waits=False)
        session = tx.sessions.lock(row[0]) if work else None
        if work is None or session is None:
            return
        if session.state is State.RUNNING and session.due is not None and session.due.step is Step.WARN:
            work.keep(session, work.planned(_warned(work, session)))
        work.finish()

    return each(services, due, warn, lambda tx, row: tx.sessions.note_attempt(row[0], tx.now() + PUT_OFF))


def _warned(work: AccountWork, session: Session) -> Session:
    if session.ends_at is None:
        return session
    warning = next_warning(session.ends_at, session.warned_seconds, work.policy(session), work.now)
    if warning is None or warning[0] > work.now:
        return session
    return replace(session, warned_seconds=warning[1])
