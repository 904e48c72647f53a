"""Record interactions that whoever carries the traffic reports, in batches. A repeated batch counts once."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from orchestrator.client.requests import Interactions, RecordInteractions
from orchestrator.flows.account_work import AccountWork
from orchestrator.flows.services import Services
from orchestrator.rules.busy import note_begun, note_ended
from orchestrator.rules.pings import note_success, ping_not_needed_until
from orchestrator.rules.refusals import ErrorCode
from orchestrator.rules.states import State
from orchestrator.rules.stops import interactions_limit
from orchestrator.rules.values import Policy, Session
from orchestrator.store.unit import Transaction


def record_interactions(
    services: Services, tx: Transaction, request: RecordInteractions
) -> Mapping[str, Any]:
    """How many were counted, and which were not and why.

    Accounts, then sessions are locked in the order of their ids; items apply singly, before due stops."""
    account_of = tx.sessions.accounts_of({item.session_id for item in request.batch})
    accounts = tx.accounts.lock_all(set(account_of.values()))
    now = tx.now()
    works = {name: AccountWork(services, tx, account, now) for name, account in sorted(accounts.items())}
    sessions = {session_id: tx.sessions.lock(session_id) for session_id in sorted(account_of)}
    archived = tx.archive.of({item.session_id for item in request.batch} - account_of.keys())
    over = {one.id for one in archived.values() if one.deleted_at is None}
    recorder = _Recorder(
        works, {sid: session for sid, session in sessions.items() if session is not None}, over
    )
    for index, item in enumerate(request.batch):
        recorder.record(index, item)
    recorder.save()
    for _, work in sorted(works.items()):
        work.apply_due_stops()
        work.finish()
    return {"accepted": recorder.accepted, "rejected": recorder.rejected}


class _Recorder:
    """Applies items to snapshots; saves each session once."""

    def __init__(
        self, works: Mapping[str, AccountWork], sessions: Mapping[str, Session], archived: Collection[str]
    ) -> None:
        self._archived = archived
        self._works = works
        self._before = dict(sessions)
        self._after = dict(sessions)
        self.accepted = 0
        self.rejected: list[dict[str, Any]] = []

    def record(self, index: int, item: Interactions) -> None:
        session = self._after.get(item.session_id)
        if item.session_id in self._archived:
            message = f"session {item.session_id} is archived: its interactions count no longer"
            self._reject(index, item, ErrorCode.INVALID_STATE, message)
        elif session is None or session.deleted_at is not None:
            self._reject(index, item, ErrorCode.UNKNOWN_SESSION, f"session {item.session_id} is unknown")
        elif session.state in {State.CREATED, State.QUEUED, State.FAILED}:
            message = f"session {session.id} is {session.state.value}: it never served anybody"
            self._reject(index, item, ErrorCode.INVALID_STATE, message)
        else:
            work = self._works[session.account_id]
            self._after[session.id] = _applied(session, item, work.policy(session), work.now)
            self.accepted += 1

    def save(self) -> None:
        for session_id in sorted(self._after):
            before, after = self._before[session_id], self._after[session_id]
            if after != before:
                work = self._works[after.account_id]
                live = after.state in {State.STARTING, State.RUNNING}
                work.keep(before, work.planned(after) if live else after)

    def _reject(self, index: int, item: Interactions, code: ErrorCode, message: str) -> None:
        rejected = {"index": index, "session_id": item.session_id, "code": code.value, "message": message}
        self.rejected.append(rejected)


def _applied(session: Session, item: Interactions, policy: Policy, now: datetime) -> Session:
    """What is under way is use, and counts once it has ended."""
    if item.is_under_way and item.began is not None:
        return _under_way(session, min(item.began, now), policy, now)
    ended = session if item.began is None else note_ended(session, item.began)
    return _counted(ended, item, policy, now)


def _under_way(session: Session, began: datetime, policy: Policy, now: datetime) -> Session:
    if session.state is not State.RUNNING:
        return session
    used = replace(session, last_interaction_at=max(began, session.last_interaction_at or began))
    return note_begun(used, began, policy, now)


def _counted(session: Session, item: Interactions, policy: Policy, now: datetime) -> Session:
    """Every interaction counts and is activity; only a success proves life."""
    at = min(item.ended or item.at or now, now)
    counted = replace(session, interactions=session.interactions + item.count)
    if session.state not in {State.STARTING, State.RUNNING}:
        return counted
    counted = replace(counted, last_interaction_at=max(at, session.last_interaction_at or at))
    limit = interactions_limit(counted)
    if limit is not None and session.interactions < limit[0] <= counted.interactions:
        counted = replace(counted, limit_reached_at=now)
    return _lived(counted, at, policy) if item.ok else counted


def _lived(session: Session, at: datetime, policy: Policy) -> Session:
    """A success proves life of what was served at `at`, and spares the next ping."""
    if session.state is not State.RUNNING or session.running_since is None or at < session.running_since:
        return session
    noted = note_success(session, at)
    spared = ping_not_needed_until(noted, policy)
    if spared is None or noted.ping_at is None or noted.ping_at >= spared:
        return noted
    return replace(noted, ping_at=spared)
