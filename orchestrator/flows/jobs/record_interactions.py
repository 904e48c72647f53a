"""Record interactions, reported in batches by the service that carries the traffic. A repeated batch counts once.

One transaction with a few statements records all accounts that are simple: no other transaction holds them, and no stop
is due there. Each other account has a transaction of its own (`flows/jobs/perform.py`), so that no account waits for
another."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any, Generic

from orchestrator.client.requests import Interactions, RecordInteractions
from orchestrator.flows.engine import crowd
from orchestrator.flows.engine.services import Services
from orchestrator.flows.lifecycle.account_work import AccountWork, lock_account
from orchestrator.flows.lifecycle.due_stops import apply_due_stops
from orchestrator.rules.billing.hard_stops import stop_has_come
from orchestrator.rules.refusals import ErrorCode
from orchestrator.rules.sessions.uses import NEVER_SERVED, Use, note_use, plan_after_use
from orchestrator.rules.states import Step
from orchestrator.rules.values import AnySession, Policy, UsedSession
from orchestrator.store.transaction import Transaction

Result = Mapping[str, Any]


def accounts_of(tx: Transaction, request: RecordInteractions) -> Mapping[str, str]:
    """Return the account of each session that a batch is about and that exists."""
    return tx.recordings.accounts_of({item.session_id for item in request.batch})


def record_of(services: Services, tx: Transaction, request: RecordInteractions, account_id: str) -> Result:
    """Record one account's interactions; return how many were counted, and which were not and why.

    Sessions are locked in the order of their ids. Items are applied singly, in the order of their instants, and before
    the stops that are due; where many stops are due, before the first of them."""
    locked = lock_account(services, tx, account_id)
    assert locked is not None  # accounts are never deleted
    work = AccountWork(services, tx, *locked)
    account_of = accounts_of(tx, request)
    mine = {session_id for session_id, its_account in account_of.items() if its_account == account_id}
    recorder = _Recorder(services.policy, work.now, tx.sessions.lock_all(mine))
    for group in _groups(request, mine, work.now):
        recorder.record(group)
    for before, after in recorder.changed():
        work.keep(before, after)
    if apply_due_stops(work, crowd.STOPS_AT_ONCE):
        tx.sessions.wake(Step.STOP)
    work.finish()
    return recorder.result()


def record_together(
    services: Services,
    tx: Transaction,
    request: RecordInteractions,
    account_of: Mapping[str, str],
    done: Collection[str],
) -> Mapping[str, Result]:
    """Record the interactions of all accounts where this is simple; return the results by account. Left out: accounts
    in `done`; those that others hold, or wait for; and those with a stop that is due, before or after this.
    `account_of`: of each session its account."""
    wanted = {one for one in account_of.values() if one not in done and not _is_waited_for(services, one)}
    calm, now = _lock_calm_accounts(tx, wanted)
    mine = {session_id for session_id, account_id in account_of.items() if account_id in calm}
    sessions = tx.recordings.lock_sessions(mine) if mine else {}
    recorders = {account_id: _Recorder[UsedSession](services.policy, now) for account_id in calm}
    for session in sessions.values():
        recorders[session.account_id].add(session)
    for group in _groups(request, mine, now):
        recorders[account_of[group.session_id]].record(group)
    return _keep_together(tx, recorders, now)


def _lock_calm_accounts(tx: Transaction, account_ids: Collection[str]) -> tuple[Collection[str], datetime]:
    """Lock those of the accounts that no other transaction holds. Return those where no stop is due, and the clock as
    it was after that."""
    free = tx.recordings.lock_free_accounts(account_ids) if account_ids else {}
    now = tx.now()
    stops = tx.recordings.earliest_stops(free.keys()) if free else {}
    calm = [
        one
        for one, account in free.items()
        if not stop_has_come(account.funds_end_at, account.budgets, stops[one], now)
    ]
    return calm, now


def _keep_together(
    tx: Transaction, recorders: Mapping[str, "_Recorder[UsedSession]"], now: datetime
) -> Mapping[str, Result]:
    """Save the sessions of all accounts where none must stop by now."""
    kept, results = list[tuple[UsedSession, UsedSession]](), dict[str, Result]()
    for account_id, recorder in recorders.items():
        changed = list(recorder.changed())
        if all(_is_calm(after.stop_at, now) for _, after in changed):
            kept += changed
            results[account_id] = recorder.result()
    tx.recordings.save(kept)
    tx.sessions.wake(
        *{after.due.step for _, after in kept if after.due is not None and after.due.has_come(now)}
    )
    return results


def _is_waited_for(services: Services, account_id: str) -> bool:
    """Return whether other threads of this process stand in line for the account."""
    try:
        services.crowd.comes_to(account_id)
    except crowd.AccountBusy:
        return True
    return False


def _is_calm(end: datetime | None, now: datetime) -> bool:
    """Return whether this end is not due."""
    return end is None or end > now


def record_interactions(
    services: Services, tx: Transaction, request: RecordInteractions, done: Mapping[str, Result] | None = None
) -> Result:
    """Return how many were counted, and which were not and why. `done`: the results of accounts done already."""
    results, account_of = dict(done or {}), accounts_of(tx, request)
    for account_id in sorted({*account_of.values()} - results.keys()):
        results[account_id] = record_of(services, tx, request, account_id)
    return outcome_of(tx, request, account_of, results)


def outcome_of(
    tx: Transaction, request: RecordInteractions, account_of: Mapping[str, str], results: Mapping[str, Result]
) -> Result:
    """Return the result of the whole batch from those of its accounts."""
    rejected = [
        *_of_unknown_sessions(tx, request, account_of),
        *(one for result in results.values() for one in result["rejected"]),
    ]
    first = {one["index"]: one for one in rejected}  # a session may have been archived meanwhile
    accepted = sum(result["accepted"] for result in results.values())
    return {"accepted": accepted, "rejected": [first[index] for index in sorted(first)]}


def _of_unknown_sessions(
    tx: Transaction, request: RecordInteractions, account_of: Mapping[str, str]
) -> list[Result]:
    """Return the items of sessions that are unknown, or in the archive."""
    gone = {item.session_id for item in request.batch} - account_of.keys()
    if not gone:
        return []
    over = {one.id for one in tx.archive.of(gone).values() if one.deleted_at is None}
    return [
        _archived(index, item) if item.session_id in over else _unknown(index, item)
        for index, item in enumerate(request.batch)
        if item.session_id in gone
    ]


@dataclass(frozen=True, slots=True)
class _Group:
    """Items of one session that are alike and follow each other: they count as one item with the sum of their
    counts."""

    first: Interactions
    indexes: Sequence[int]
    count: int

    @property
    def session_id(self) -> str:
        return self.first.session_id

    @property
    def use(self) -> Use:
        """The effect of all of them together."""
        item = self.first
        return Use(self.count, item.ok, item.began, item.ended or item.at)


def _groups(request: RecordInteractions, session_ids: Collection[str], now: datetime) -> Iterator[_Group]:
    """Yield the items of these sessions, each session's in the order of their instants."""
    of: dict[str, list[tuple[int, Interactions]]] = {}
    for index, item in enumerate(request.batch):
        if item.session_id in session_ids:
            of.setdefault(item.session_id, []).append((index, item))
    for items in of.values():
        if any(
            item.at or item.began or item.ended for _, item in items
        ):  # the others are of the same instant
            items.sort(key=lambda pair: _began(pair[1], now))
        yield from _alike(items)


def _alike(items: Sequence[tuple[int, Interactions]]) -> Iterator[_Group]:
    """Join items that follow each other and have the same effect. An item that says when it began stays alone: it is an
    interaction under way, or the end of one."""
    first, indexes, count = items[0][1], [items[0][0]], items[0][1].count
    kind = _kind(first)
    for index, item in items[1:]:
        if first.began is item.began is None and _kind(item) == kind:
            indexes.append(index)
            count += item.count
        else:
            yield _Group(first, indexes, count)
            first, indexes, count, kind = item, [index], item.count, _kind(item)
    yield _Group(first, indexes, count)


def _kind(item: Interactions) -> tuple[bool, datetime | None, datetime | None]:
    return item.ok, item.at, item.ended


class _Recorder(Generic[AnySession]):
    """Apply items to snapshots of one account's sessions."""

    def __init__(
        self,
        policy_of: Callable[[str | None], Policy],
        now: datetime,
        sessions: Mapping[str, AnySession] = MappingProxyType({}),
    ) -> None:
        self._policy_of = policy_of
        self._now = now
        self._before: dict[str, AnySession] = dict(sessions)
        self._after: dict[str, AnySession] = dict(sessions)
        self._accepted = 0
        self._rejected: list[Result] = []

    def add(self, session: AnySession) -> None:
        """Add a locked session."""
        self._before[session.id] = self._after[session.id] = session

    def record(self, group: _Group) -> None:
        """Apply the items of one session that are alike."""
        item, session = group.first, self._after.get(group.session_id)
        if session is None or session.deleted_at is not None:
            self._rejected += (_unknown(index, item) for index in group.indexes)
        elif session.state in NEVER_SERVED:
            message = f"session {session.id} is {session.state.value}: it has never served traffic"
            self._rejected += (
                _rejected(index, item, ErrorCode.INVALID_STATE, message) for index in group.indexes
            )
        else:
            policy = self._policy_of(session.provider)
            self._after[session.id] = note_use(session, group.use, policy, self._now)
            self._accepted += len(group.indexes)

    def changed(self) -> Iterator[tuple[AnySession, AnySession]]:
        """Yield each session that has changed, before and after, with its steps planned, in the order of their ids."""
        for session_id in sorted(self._after):
            before, after = self._before[session_id], self._after[session_id]
            if after is not before:
                yield before, plan_after_use(before, after, self._policy_of(after.provider), self._now)

    def result(self) -> Result:
        """Return how many items were counted, and which were not and why."""
        return {"accepted": self._accepted, "rejected": self._rejected}


def _unknown(index: int, item: Interactions) -> Result:
    return _rejected(index, item, ErrorCode.UNKNOWN_SESSION, f"session {item.session_id} is unknown")


def _archived(index: int, item: Interactions) -> Result:
    message = f"session {item.session_id} is archived: its interactions are no longer counted"
    return _rejected(index, item, ErrorCode.INVALID_STATE, message)


def _rejected(index: int, item: Interactions, code: ErrorCode, message: str) -> Result:
    return {"index": index, "session_id": item.session_id, "code": code.value, "message": message}


def _began(item: Interactions, now: datetime) -> datetime:
    """Return when the reported use began; without an instant, the latest possible time."""
    return min(item.began or item.ended or item.at or now, now)
