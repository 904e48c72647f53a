"""Admit queued sessions: round-robin across accounts, first come first within one."""

from collections import Counter
from collections.abc import Sequence

from orchestrator.flows.engine.batch import PUT_OFF, Tally, each
from orchestrator.flows.engine.services import Services
from orchestrator.flows.lifecycle import admission, transitions
from orchestrator.flows.lifecycle.account_work import AccountWork
from orchestrator.flows.lifecycle.due_stops import on_account
from orchestrator.rules.admission import quota
from orchestrator.rules.refusals import ErrorCode, Refusal
from orchestrator.rules.sessions.stops import next_stop
from orchestrator.rules.states import State, StopReason
from orchestrator.rules.values import Model, Session
from orchestrator.store.transaction import Transaction

Row = tuple[str, str]


def admit_queued(services: Services, limit: int = 100) -> Tally:
    """Try every due queued session again: it starts, keeps waiting, or has waited too long."""
    with services.database.reading() as tx:
        due = _taking_turns(tx.queues.due_to_be_admitted(tx.now(), limit))

    def admit(tx: Transaction, row: Row) -> None:
        work = on_account(services, tx, row[1], waits=False)
        session = tx.sessions.lock(row[0]) if work else None
        if work is None or session is None:
            return
        if session.state is State.QUEUED:
            _admit(work, session)
        work.finish()

    return each(services, due, admit, lambda tx, row: tx.sessions.note_attempt(row[0], tx.now() + PUT_OFF))


def _taking_turns(due: Sequence[Row]) -> list[Row]:
    """Return the first of each account, then the second of each, so that a long queue does not delay other accounts."""
    turns: Counter[str] = Counter()
    placed = []
    for row in due:
        placed.append((turns[row[1]], row))
        turns[row[1]] += 1
    return [row for _, row in sorted(placed, key=lambda turn: turn[0])]


def _admit(work: AccountWork, session: Session) -> None:
    forecast = next_stop(session, work.policy(session))
    if forecast.stop_at is not None and forecast.stop_at <= work.now:
        transitions.stop(work, session, StopReason.QUEUE_TIMEOUT, forecast.stop_at, forecast.detail)
        return
    never = quota.check_nodes(work.terms, None, session.nodes)  # the account's limits may have changed
    if never is not None:
        transitions.stop(work, session, StopReason.START_FAILED, work.now, never.message)
        return
    model = work.tx.models.get(session.model_id)
    assert model is not None  # sessions refer to it by a foreign key
    try:
        admission.start(work, session, session, model, newcomer=False)
    except Refusal as refusal:
        _settle_refusal(work, session, model, refusal)
    else:
        _wake_others(work, session)


def _settle_refusal(work: AccountWork, session: Session, model: Model, refusal: Refusal) -> None:
    """Let it keep waiting for what may become free. End its wait for any other reason, such as a withdrawn model."""
    if not quota.keeps_waiting(refusal.code):
        transitions.stop(work, session, StopReason.START_FAILED, work.now, refusal.message)
        return
    saved = work.keep(session, admission.waiting(work, session, model, refusal))
    if saved.queue_reason == session.queue_reason:
        return
    if saved.queue_reason == ErrorCode.NO_CAPACITY:
        work.note_freed_capacity()  # it no longer holds up the sessions behind it
    elif session.queue_reason == ErrorCode.NO_CAPACITY:
        transitions.wake_next_waiter(work, session)  # the key that woke it is free for others


def _wake_others(work: AccountWork, session: Session) -> None:
    work.note_freed_capacity()  # there may be room for the next one too
    if session.queue_reason == ErrorCode.NO_CAPACITY:
        transitions.wake_next_waiter(work, session)
