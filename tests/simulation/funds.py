"""When an account's funds end: from its ledger's credits and its sessions' events, without the code that decides it."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal

from orchestrator.rules.values import Session
from tests.simulation.evidence import Evidence, given_back
from tests.simulation.ledger_oracle import cost, cost_of_blocks, ended

_OVER = frozenset({"session.stopping", "session.stopped", "session.failed_over"})


def pays_the_next_block(evidence: Evidence, session: Session, at: datetime) -> bool:
    """Return whether the account can pay, at `at`, all that has begun and one more block of this session.

    Where an instant is not certain, the account is taken to be poorer than it may have been."""
    account = evidence.accounts[session.account_id]
    overdraft = evidence.config.terms_of(account).plan.overdraft_limit
    spent = spent_with_the_next_block(evidence, session, at)
    return spent <= _given(evidence, account.id, at) + overdraft


def spent_with_the_next_block(evidence: Evidence, session: Session, at: datetime) -> Decimal:
    """Return what the account's sessions have cost by then, with one more block of this session."""
    others = (
        s for s in evidence.sessions.values() if s.account_id == session.account_id and s.id != session.id
    )
    return sum((_cost_by(evidence, one, at) for one in others), _with_the_next(evidence, session))


def _given(evidence: Evidence, account_id: str, at: datetime) -> Decimal:
    given = (e for e in evidence.ledger if e.kind == "credit" and e.account_id == account_id)
    return sum((e.amount for e in given if e.at <= at - evidence.stamps), Decimal(0))


def _with_the_next(evidence: Evidence, session: Session) -> Decimal:
    ran = timedelta(microseconds=session.ran_microseconds) + evidence.stamps
    return cost_of_blocks(session, ran // timedelta(seconds=session.block_seconds) + 1)


def _cost_by(evidence: Evidence, session: Session, at: datetime) -> Decimal:
    """Return the cost of all blocks that have begun by then."""
    if (
        ended(session)
        and session.stopped_at is not None
        and max(session.stopped_at, _decided(evidence, session)) <= at
    ):
        return session.charged
    ran, runs = timedelta(0), False
    for since, until in _intervals(evidence, session):
        if since <= at + evidence.stamps:
            ran += max(timedelta(0), min(until, at) - since)
            runs = until > at
    if not runs:
        return cost(session, ran) if ran else Decimal(0)
    block = timedelta(seconds=session.block_seconds)
    return cost_of_blocks(session, (ran + evidence.stamps) // block + 1)


def _intervals(evidence: Evidence, session: Session) -> Iterator[tuple[datetime, datetime]]:
    """Yield its RUNNING time, from its events."""
    since: datetime | None = None
    for event in evidence.events_of.get(session.id, ()):
        if event.kind == "session.running":
            since = event.at
        elif since is not None and event.kind in _OVER:
            until_event = event.kind == "session.failed_over" or given_back(event)
            yield since, event.at if until_event or session.stopped_at is None else session.stopped_at
            since = None
    if since is not None:
        yield since, evidence.now


def _decided(evidence: Evidence, session: Session) -> datetime:
    """Return when its end was written: a session that a brake held, or that was idle, costs until then, and that is
    given back then."""
    ends = [event.at for event in evidence.events_of.get(session.id, ()) if given_back(event)]
    return max(ends, default=evidence.at(0))
