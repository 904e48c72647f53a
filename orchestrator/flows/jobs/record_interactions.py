"""Record interactions, reported in batches by the service that carries the traffic. A repeated batch counts once.

Each account is a transaction of its own (`flows/jobs/perform.py`), so that no account waits for another."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from orchestrator.client.requests import Interactions, RecordInteractions
from orchestrator.flows.engine import crowd
from orchestrator.flows.engine.services import Services
from orchestrator.flows.lifecycle.account_work import AccountWork, lock_account
from orchestrator.flows.lifecycle.due_stops import apply_due_stops
from orchestrator.rules.refusals import ErrorCode
from orchestrator.rules.sessions.busy import note_begun, note_ended
from orchestrator.rules.sessions.pings import note_success, ping_not_needed_until
from orchestrator.rules.sessions.stops import interactions_limit, proves_use
from orchestrator.rules.states import State, Step
from orchestrator.rules.values import Policy, Session
from orchestrator.store.transaction import Transaction

Result = Mapping[str, Any]


def accounts_of(tx: Transaction, request: RecordInteractions) -> Sequence[str]:
    """Return the accounts that a batch is about, in the order of their ids."""
    return sorted(set(tx.sessions.accounts_of({item.session_id for item in request.batch}).values()))


def record_of(services: Services, tx: Transaction, request: RecordInteractions, account_id: str) -> Result:
    """Record one account's interactions; return how many were counted, and which were not and why.

    Sessions are locked in the order of their ids. Items are applied singly, in the order of their instants, and before
    the stops that are due; where many stops are due, before the first of them."""
    account = lock_account(services, tx, account_id)
    assert account is not None  # accounts are never deleted
    work = AccountWork(services, tx, account, tx.now())
    account_of = tx.sessions.accounts_of({item.session_id for item in request.batch})
    mine = {session_id for session_id, its_account in account_of.items() if its_account == account_id}
    recorder = _Recorder(work, tx.sessions.lock_all(mine))
    for index, item in sorted(enumerate(request.batch), key=lambda pair: _began(pair[1], work.now)):
        if item.session_id in mine:
            recorder.record(index, item)
    recorder.save()
    if apply_due_stops(work, crowd.STOPS_AT_ONCE):
        tx.sessions.wake(Step.STOP)
    work.finish()
    return {"accepted": recorder.accepted, "rejected": recorder.rejected}


def record_interactions(
    services: Services, tx: Transaction, request: RecordInteractions, done: Mapping[str, Result] | None = None
) -> Result:
    """Return how many were counted, and which were not and why. `done`: the results of accounts done already."""
    results = dict(done or {})
    for account_id in accounts_of(tx, request):
        if account_id not in results:
            results[account_id] = record_of(services, tx, request, account_id)
    rejected = [
        *_of_unknown_sessions(tx, request),
        *(one for result in results.values() for one in result["rejected"]),
    ]
    first = {one["index"]: one for one in rejected}  # a session may have been archived meanwhile
    accepted = sum(result["accepted"] for result in results.values())
    return {"accepted": accepted, "rejected": [first[index] for index in sorted(first)]}


def _of_unknown_sessions(tx: Transaction, request: RecordInteractions) -> list[Result]:
    """Return the items of sessions that are unknown, or in the archive."""
    asked = {item.session_id for item in request.batch}
    gone = asked - tx.sessions.accounts_of(asked).keys()
    over = {one.id for one in tx.archive.of(gone).values() if one.deleted_at is None}
    return [
        _archived(index, item) if item.session_id in over else _unknown(index, item)
        for index, item in enumerate(request.batch)
        if item.session_id in gone
    ]


class _Recorder:
    """Apply items to snapshots of one account's sessions; save each session once."""

    def __init__(self, work: AccountWork, sessions: Mapping[str, Session]) -> None:
        self._work = work
        self._before = dict(sessions)
        self._after = dict(sessions)
        self.accepted = 0
        self.rejected: list[Result] = []

    def record(self, index: int, item: Interactions) -> None:
        session = self._after.get(item.session_id)
        if session is None or session.deleted_at is not None:
            self.rejected.append(_unknown(index, item))
        elif session.state in {State.CREATED, State.QUEUED, State.FAILED}:
            message = f"session {session.id} is {session.state.value}: it has never served traffic"
            self.rejected.append(_rejected(index, item, ErrorCode.INVALID_STATE, message))
        else:
            work = self._work
            self._after[session.id] = _applied(session, item, work.policy(session), work.now)
            self.accepted += 1

    def save(self) -> None:
        for session_id in sorted(self._after):
            before, after = self._before[session_id], self._after[session_id]
            if after != before:
                live = after.state in {State.STARTING, State.RUNNING}
                self._work.keep(before, self._work.planned(after) if live else after)


def _unknown(index: int, item: Interactions) -> Result:
    return _rejected(index, item, ErrorCode.UNKNOWN_SESSION, f"session {item.session_id} is unknown")


def _archived(index: int, item: Interactions) -> Result:
    message = f"session {item.session_id} is archived: its interactions count no longer"
    return _rejected(index, item, ErrorCode.INVALID_STATE, message)


def _rejected(index: int, item: Interactions, code: ErrorCode, message: str) -> Result:
    return {"index": index, "session_id": item.session_id, "code": code.value, "message": message}


def _applied(session: Session, item: Interactions, policy: Policy, now: datetime) -> Session:
    """Return the session after one item. An interaction under way counts as use now, and as an interaction once it has
    ended."""
    if item.is_under_way and item.began is not None:
        return _under_way(session, min(item.began, now), policy, now)
    used = proves_use(session, policy, _began(item, now))
    ended = session if item.began is None else note_ended(session, item.began)
    return _counted(ended, item, policy, now, used=used)


def _began(item: Interactions, now: datetime) -> datetime:
    """Return when the reported use began; without an instant, the latest possible time."""
    return min(item.began or item.ended or item.at or now, now)


def _under_way(session: Session, began: datetime, policy: Policy, now: datetime) -> Session:
    if session.state is not State.RUNNING or not proves_use(session, policy, began):
        return session
    used = replace(session, last_interaction_at=max(began, session.last_interaction_at or began))
    return note_begun(used, began, policy, now)


def _counted(session: Session, item: Interactions, policy: Policy, now: datetime, *, used: bool) -> Session:
    """Return the session with the interactions counted. Every one counts; one that proves use is activity; only a
    success is a proof of life."""
    at = min(item.ended or item.at or now, now)
    counted = replace(session, interactions=session.interactions + item.count)
    if session.state not in {State.STARTING, State.RUNNING}:
        return counted
    if used:
        counted = replace(counted, last_interaction_at=max(at, session.last_interaction_at or at))
    limit = interactions_limit(counted)
    if limit is not None and session.interactions < limit[0] <= counted.interactions:
        counted = replace(counted, limit_reached_at=now)
    return _lived(counted, at, policy) if item.ok else counted


def _lived(session: Session, at: datetime, policy: Policy) -> Session:
    """Note a success: it is a proof of life at `at`, and makes the next ping unnecessary."""
    if session.state is not State.RUNNING or session.running_since is None or at < session.running_since:
        return session
    noted = note_success(session, at)
    spared = ping_not_needed_until(noted, policy)
    if spared is None or noted.ping_at is None or noted.ping_at >= spared:
        return noted
    return replace(noted, ping_at=spared)
