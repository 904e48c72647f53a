"""Named queries over sessions, and the one door through which their changes pass."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy import (
    ColumnElement,
    Connection,
    String,
    and_,
    case,
    cast,
    exists,
    func,
    insert,
    literal,
    or_,
    select,
    true,
    update,
)

from orchestrator.rules import events
from orchestrator.rules.quota import Usage
from orchestrator.rules.states import CONCURRENT, State, Step, checked
from orchestrator.rules.values import Session
from orchestrator.store.outbox import Outbox
from orchestrator.store.rows import changes, snapshot, table_of, values_of
from orchestrator.store.tables import AccountRow, ModelRow, PlacementRow, SessionRow

SESSIONS = table_of(SessionRow)
_PLACEMENTS = table_of(PlacementRow)
_ACCOUNTS = table_of(AccountRow)
_MODELS = table_of(ModelRow)
#: What a queued session may wait for without holding up its account's queue.
_ELSEWHERE = "no_capacity"


class Sessions:
    """Queries and changes of sessions, inside one transaction."""

    def __init__(self, connection: Connection, outbox: Outbox, due: set[Step]) -> None:
        self._connection = connection
        self._outbox = outbox
        self._due = due

    # changes

    def insert(self, session: Session) -> Session:
        """Add a new session, with its events. A taken name breaks a constraint."""
        self._connection.execute(insert(SESSIONS).values(**values_of(session)))
        self._outbox.add(events.of_session(None, session))
        return session

    def save(self, before: Session, after: Session) -> Session:
        """Write the difference, with its events: the one door for every change of a session.

        The row is locked, or guarded by its lease. Raises IllegalTransition."""
        if before.state is not after.state:
            checked(before.state, after.state)
        changed = changes(before, after)
        if not changed:
            return after
        changed["revision"] = before.revision + 1
        self._connection.execute(update(SESSIONS).where(SESSIONS.c.id == after.id).values(**changed))
        self._outbox.add(events.of_session(before, after))
        return replace(after, revision=before.revision + 1)

    def wake(self, *steps: Step) -> None:
        """These steps became due with this transaction: its commit says so."""
        self._due.update(steps)

    def attempted(self, session_id: str, retry_at: datetime) -> None:
        """Put off a row whose step failed, counting the attempt, so that it holds up nobody."""
        self._connection.execute(
            update(SESSIONS)
            .where(SESSIONS.c.id == session_id, SESSIONS.c.next_step.is_not(None))
            .values(attempts=SESSIONS.c.attempts + 1, next_step_at=retry_at)
        )

    # one session

    def get(self, session_id: str) -> Session | None:
        """The session as it is, unlocked."""
        row = self._connection.execute(select(SESSIONS).where(SESSIONS.c.id == session_id)).first()
        return snapshot(Session, row) if row else None

    def lock(self, session_id: str) -> Session | None:
        """The session, locked until the end of the transaction. Lock its account first where that is needed."""
        query = select(SESSIONS).where(SESSIONS.c.id == session_id).with_for_update()
        row = self._connection.execute(query).first()
        return snapshot(Session, row) if row else None

    def by_name(self, account_id: str, name: str) -> str | None:
        """The id of the session that has this name in this account, among the not deleted."""
        mine = and_(
            SESSIONS.c.account_id == account_id, SESSIONS.c.name == name, SESSIONS.c.deleted_at.is_(None)
        )
        found: str | None = self._connection.execute(select(SESSIONS.c.id).where(mine)).scalar()
        return found

    # an account's sessions

    def accounts_of(self, session_ids: Collection[str]) -> dict[str, str]:
        """session id → account id, for those that exist."""
        query = select(SESSIONS.c.id, SESSIONS.c.account_id).where(SESSIONS.c.id.in_(session_ids))
        return {row.id: row.account_id for row in self._connection.execute(query)}

    def active(self, account_id: str) -> Sequence[Session]:
        """An account's starting and running sessions, by id. Their states and money stand still under the
        account's lock; lock a row before writing it."""
        mine = _of(account_id, State.STARTING, State.RUNNING)
        query = select(SESSIONS).where(mine).order_by(SESSIONS.c.id)
        return [snapshot(Session, row) for row in self._connection.execute(query)]

    def earliest_stop(self, account_id: str) -> datetime | None:
        """The nearest deadline among an account's starting and running sessions."""
        mine = _of(account_id, State.STARTING, State.RUNNING)
        return self._connection.execute(select(func.min(SESSIONS.c.stop_at)).where(mine)).scalar()

    def usage(self, account_id: str, now: datetime, debts: Mapping[str | None, float]) -> Usage:
        """What counts against an account's quota now, in one statement. `debts`: after how many seconds an
        unproven close is the platform's debt, by provider; None: at all others."""
        in_debt = _in_cleanup_debt(now, debts)
        counts = and_(SESSIONS.c.account_id == account_id, SESSIONS.c.deleted_at.is_(None))
        holds = and_(SESSIONS.c.state.in_(CONCURRENT), ~in_debt)
        waits = and_(SESSIONS.c.state == State.QUEUED, SESSIONS.c.queue_reason.is_distinct_from(_ELSEWHERE))
        query = select(_count(~in_debt), _count(holds), _count(waits)).where(counts)
        total, concurrent, waiting = self._connection.execute(query).one()
        return Usage(total=total or 0, concurrent=concurrent or 0, queue_ahead=waiting or 0)

    def somebody_lives(
        self, provider: str, credential: str, since: datetime, model_id: str | None = None
    ) -> bool:
        """Was any running session under this key, with this model where one is given, alive since then?"""
        alive = exists().where(
            SESSIONS.c.provider == provider,
            SESSIONS.c.credential == credential,
            SESSIONS.c.state == State.RUNNING,
            SESSIONS.c.last_alive_at >= since,
            true() if model_id is None else SESSIONS.c.model_id == model_id,
        )
        return bool(self._connection.execute(select(alive)).scalar())

    def queue(self, account_id: str) -> Sequence[Session]:
        """An account's queued sessions, first come first."""
        query = (
            select(SESSIONS)
            .where(_of(account_id, State.QUEUED))
            .order_by(SESSIONS.c.queued_at, SESSIONS.c.id)
        )
        return [snapshot(Session, row) for row in self._connection.execute(query)]

    def queue_position(self, session: Session) -> int:
        """1 for the first in its account's queue."""
        ahead = or_(
            SESSIONS.c.queued_at < session.queued_at,
            and_(SESSIONS.c.queued_at == session.queued_at, SESSIONS.c.id < session.id),
        )
        query = select(func.count()).where(_of(session.account_id, State.QUEUED), ahead)
        return int(self._connection.execute(query).scalar_one()) + 1

    def make_next_queued_due(self, account_id: str, now: datetime) -> None:
        """Whoever is first in this account's queue looks again; those after a wait elsewhere do too."""
        heads = (
            select(SESSIONS.c.id, SESSIONS.c.queue_reason)
            .where(_of(account_id, State.QUEUED))
            .order_by(SESSIONS.c.queued_at, SESSIONS.c.id)
            .limit(50)
        )
        self._make_admissible(_up_to_first_waiting_here(self._connection.execute(heads).all()), now)

    def make_waiting_for_provider_due(self, provider: str, now: datetime) -> None:
        """A credential of this provider is free: one session that waits for it looks again, round-robin."""
        waits = and_(
            SESSIONS.c.next_step == Step.ADMIT,
            SESSIONS.c.next_step_at > now,  # who looks already must not be counted twice
            SESSIONS.c.queue_reason == _ELSEWHERE,
            or_(SESSIONS.c.pinned_provider == provider, SESSIONS.c.pinned_provider.is_(None)),
            cast(_MODELS.c.providers, String).contains(f'"{provider}"', autoescape=True),
        )
        query = (
            select(SESSIONS.c.id)
            .join(_ACCOUNTS, _ACCOUNTS.c.id == SESSIONS.c.account_id)
            .join(_MODELS, _MODELS.c.id == SESSIONS.c.model_id)
            .where(waits)
            .order_by(_ACCOUNTS.c.last_admitted_at.asc().nulls_first(), SESSIONS.c.queued_at, SESSIONS.c.id)
            .limit(1)
        )
        self._make_admissible(list(self._connection.execute(query).scalars()), now)

    def accounts_with_queue(self, limit: int) -> Sequence[str]:
        """Accounts in which somebody waits, the longest not admitted first."""
        query = (
            select(_ACCOUNTS.c.id)
            .where(
                exists().where(SESSIONS.c.account_id == _ACCOUNTS.c.id, SESSIONS.c.next_step == Step.ADMIT)
            )
            .order_by(_ACCOUNTS.c.last_admitted_at.asc().nulls_first(), _ACCOUNTS.c.id)
            .limit(limit)
        )
        return list(self._connection.execute(query).scalars())

    # what is due

    def due(self, step: Step, now: datetime, limit: int) -> Sequence[tuple[str, str]]:
        """(session, account) of rows whose step has come, the longest overdue first; nothing is claimed."""
        query = (
            select(SESSIONS.c.id, SESSIONS.c.account_id)
            .where(SESSIONS.c.next_step == step, SESSIONS.c.next_step_at <= now)
            .order_by(SESSIONS.c.next_step_at)
            .limit(limit)
        )
        return [(row.id, row.account_id) for row in self._connection.execute(query)]

    def due_to_stop(self, now: datetime, limit: int) -> Sequence[tuple[str, str]]:
        """(session, account) of those whose stop has come, whatever their next step: a stop waits for no ping,
        not even for one that is overdue because nobody pings."""
        query = (
            select(SESSIONS.c.id, SESSIONS.c.account_id)
            .where(SESSIONS.c.next_step.in_([Step.STOP, Step.PING, Step.WARN]), SESSIONS.c.stop_at <= now)
            .order_by(SESSIONS.c.stop_at)
            .limit(limit)
        )
        return [(row.id, row.account_id) for row in self._connection.execute(query)]

    def due_to_be_admitted(self, now: datetime, limit: int) -> Sequence[tuple[str, str]]:
        """Queued sessions that may look again, round-robin across accounts, first come first within one."""
        query = (
            select(SESSIONS.c.id, SESSIONS.c.account_id)
            .join(_ACCOUNTS, _ACCOUNTS.c.id == SESSIONS.c.account_id)
            .where(SESSIONS.c.next_step == Step.ADMIT, SESSIONS.c.next_step_at <= now)
            .order_by(_ACCOUNTS.c.last_admitted_at.asc().nulls_first(), SESSIONS.c.queued_at, SESSIONS.c.id)
            .limit(limit)
        )
        return [(row.id, row.account_id) for row in self._connection.execute(query)]

    # for people

    def listed(
        self,
        *,
        account_id: str | None = None,
        states: Collection[State] = (),
        limit: int = 100,
    ) -> Sequence[Session]:
        """Sessions that are not deleted, newest first."""
        query = select(SESSIONS).where(SESSIONS.c.deleted_at.is_(None)).order_by(SESSIONS.c.created_at.desc())
        if account_id is not None:
            query = query.where(SESSIONS.c.account_id == account_id)
        if states:
            query = query.where(SESSIONS.c.state.in_(states))
        return [snapshot(Session, row) for row in self._connection.execute(query.limit(limit))]

    def count_by_state(self) -> Sequence[tuple[State, str | None, int]]:
        """(state, provider, sessions) of all that are not deleted."""
        query = select(SESSIONS.c.state, SESSIONS.c.provider, func.count()).where(
            SESSIONS.c.deleted_at.is_(None)
        )
        return [
            tuple(row)
            for row in self._connection.execute(query.group_by(SESSIONS.c.state, SESSIONS.c.provider))
        ]

    def oldest_due(self) -> dict[Step, datetime]:
        """The earliest time of each step that a session waits for."""
        query = select(SESSIONS.c.next_step, func.min(SESSIONS.c.next_step_at)).where(
            SESSIONS.c.next_step.is_not(None)
        )
        return {row[0]: row[1] for row in self._connection.execute(query.group_by(SESSIONS.c.next_step))}

    def _make_admissible(self, ids: Sequence[str], now: datetime) -> None:
        if not ids:
            return
        waits = and_(
            SESSIONS.c.id.in_(ids), SESSIONS.c.next_step == Step.ADMIT, SESSIONS.c.next_step_at > now
        )
        if self._connection.execute(update(SESSIONS).where(waits).values(next_step_at=now)).rowcount:
            self.wake(Step.ADMIT)


def _of(account_id: str, *states: State) -> ColumnElement[bool]:
    return and_(
        SESSIONS.c.account_id == account_id, SESSIONS.c.state.in_(states), SESSIONS.c.deleted_at.is_(None)
    )


def _count(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.sum(case((condition, 1), else_=0))


def _in_cleanup_debt(now: datetime, debts: Mapping[str | None, float]) -> ColumnElement[bool]:
    """A close that stayed unproven for too long is the platform's debt, not the user's."""
    since = {provider: now - timedelta(seconds=seconds) for provider, seconds in debts.items()}
    everywhere = since.pop(None)
    own = [(_PLACEMENTS.c.provider == name, at) for name, at in sorted(since.items()) if at != everywhere]
    limit = case(*own, else_=everywhere) if own else literal(everywhere, _PLACEMENTS.c.unproven_since.type)
    return and_(
        SESSIONS.c.state == State.STOPPING,
        exists().where(
            _PLACEMENTS.c.session_id == SESSIONS.c.id,
            _PLACEMENTS.c.next_step.is_not(None),
            _PLACEMENTS.c.unproven_since < limit,
        ),
    )


def _up_to_first_waiting_here(heads: Sequence[tuple[str, str | None]]) -> list[str]:
    ids = []
    for session_id, reason in heads:
        ids.append(session_id)
        if reason != _ELSEWHERE:
            break
    return ids
