"""Settle many proven closes in one transaction where nothing but the proof changes: placements are closed, and their
sessions stopped. Any other answer is settled on its own."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from orchestrator.flows.engine.crowd import AccountBusy
from orchestrator.flows.engine.provider_steps import Answer
from orchestrator.flows.engine.services import Services
from orchestrator.flows.lifecycle import failover, transitions
from orchestrator.flows.lifecycle.account_work import AccountWork
from orchestrator.flows.lifecycle.many_accounts import LockedAccounts, finish_all, lock_many
from orchestrator.providers.port.driver import Closed
from orchestrator.rules.states import PlacementState, State
from orchestrator.rules.values import Placement, Session
from orchestrator.store.transaction import Transaction

log = logging.getLogger(__name__)

#: Closes settled in one transaction, which bounds how long jobs of their accounts wait.
AT_ONCE = 100
CloseAnswer: TypeAlias = Answer[Any, Any]


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of answers, by the ids of their placements."""

    lags: dict[str, float | None] = field(default_factory=dict)
    """Settled: the seconds from each stop to the proof, where they are known."""
    held: set[str] = field(default_factory=set)
    """Not settled, because another transaction holds their accounts, or stops of these come first."""


def settle_proven(services: Services, answers: Sequence[CloseAnswer]) -> Settled:
    """Settle those that can be settled together; any other that is not held is to be settled on its own. Accounts that
    another transaction holds are waited for only where nothing else is to be done."""
    done = Settled()
    proven = [one for one in answers if _only_proves(one)]
    for n in range(0, len(proven), AT_ONCE):
        some = _settle(services, proven[n : n + AT_ONCE], waits=False)
        done.lags.update(some.lags)
        done.held.update(some.held)
    if len(done.held) < len(answers):
        return done
    return _settle_by_account(services, answers)


def _settle_by_account(services: Services, answers: Sequence[CloseAnswer]) -> Settled:
    """Settle these account by account, and wait for each account as long as one may."""
    done = Settled()
    for account_id in sorted({_account_of(one) for one in answers}):
        some = _settle(services, [one for one in answers if _account_of(one) == account_id], waits=True)
        done.lags.update(some.lags)
        done.held.update(some.held)
    return done


def _account_of(answer: CloseAnswer) -> str:
    return answer.claimed.placement.account_id or ""


def _only_proves(answer: CloseAnswer) -> bool:
    """Return whether the answer may change nothing but what is proven. A key that allows one call at a time is released
    with the answer, and a foreign session under a key is reported."""
    placement, said = answer.claimed.placement, answer.said
    has_session = placement.session_id is not None and placement.account_id is not None
    is_plain = has_session and not (placement.serialised and placement.credential is not None)
    return is_plain and isinstance(said, Closed) and said.foreign_handle is None


def _settle(services: Services, answers: Sequence[CloseAnswer], *, waits: bool) -> Settled:
    """Settle these in one transaction; where it fails, none of them. `waits`: for the lock of their one account."""

    def settle(tx: Transaction) -> Settled:
        accounts = lock_many(services, tx, {_account_of(one) for one in answers}, waits=waits)
        ready = accounts.ready
        lags = _prove(tx, accounts, [one for one in answers if _account_of(one) in ready])
        held = [one for one in answers if _account_of(one) not in ready] if not waits else []
        return Settled(lags, {one.claimed.placement.id for one in held})

    try:
        return services.database.transact(settle)
    except AccountBusy:
        return Settled(held={one.claimed.placement.id for one in answers})
    except Exception as error:  # noqa: BLE001  (each is settled on its own, and logged there if it fails again)
        log.debug("%d closes are settled one by one: %s", len(answers), type(error).__name__)
        return Settled()


def _prove(
    tx: Transaction, accounts: LockedAccounts, answers: Sequence[CloseAnswer]
) -> dict[str, float | None]:
    """Lock sessions, then placements, and save the proofs of closes with a lease that still holds."""
    sessions = tx.sessions.lock_all({one.claimed.placement.session_id or "" for one in answers})
    placements = tx.placements.lock_of(list(sessions))
    lags: dict[str, float | None] = {}
    ended: list[Placement] = []
    with tx.together():
        for answer in answers:
            claimed = answer.claimed
            session = sessions.get(claimed.placement.session_id or "")
            known = {} if session is None else {one.id: one for one in placements[session.id]}
            placement = known.get(claimed.placement.id)
            if session is None or placement is None or not isinstance(answer.said, Closed):
                continue
            if not _holds(answer, placement, session):
                continue
            work = accounts.ready[session.account_id]
            closed = transitions.close_quietly(tx, placement, answer.said.proof, work.now)
            placements[session.id] = [closed if one.id == closed.id else one for one in known.values()]
            sessions[session.id] = failover.finish_if_ended(work, session, placements[session.id])
            ended.append(closed)
            lags[placement.id] = _lag(session, work)
        transitions.wake_for_places(tx, ended)
        finish_all([*accounts.ready.values(), *accounts.behind])
    return lags


def _holds(answer: CloseAnswer, placement: Placement, session: Session) -> bool:
    """Return whether the close is still this worker's to settle, and its session only waits for it."""
    has_lease = placement.lease is not None and placement.lease.token == answer.claimed.token
    closing = placement.state is PlacementState.CLOSING
    return has_lease and closing and session.state is State.STOPPING and session.stop_reason is not None


def _lag(session: Session, work: AccountWork) -> float | None:
    return (work.now - session.stopped_at).total_seconds() if session.stopped_at is not None else None
