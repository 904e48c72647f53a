"""Named queries over sessions, and the methods through which all their changes pass."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    bindparam,
    exists,
    func,
    or_,
    select,
    true,
    union_all,
    update,
)

from orchestrator.rules import events
from orchestrator.rules.admission.quota import Usage
from orchestrator.rules.billing.meters import Metered
from orchestrator.rules.states import LIVE, State, Step, checked
from orchestrator.rules.values import Session
from orchestrator.rules.values.copies import replace
from orchestrator.store.core.bulk import IDS, among, locked_rows
from orchestrator.store.core.gathering import Gathering
from orchestrator.store.core.rows import changes, snapshot, snapshots, values_of
from orchestrator.store.plain import table_of
from orchestrator.store.queries.debts import in_cleanup_debt
from orchestrator.store.queries.due import STEPS, is_due, with_sessions
from orchestrator.store.queries.living import RUNS, STARTS_OR_RUNS
from orchestrator.store.queries.outbox import Outbox
from orchestrator.store.queries.usage import Standing, of_account, standing_of, usage_of

SESSIONS = table_of("sessions")
_COUNTS = table_of("session_counts")
#: Columns that the ping of a running session may change without ending it.
_NOTED = (
    "ping_at",
    "last_ping_at",
    "last_verdict",
    "last_latency_ms",
    "last_ping_detail",
    "failures",
    "failing_since",
    "gone_since",
    "loading_since",
    "unusable_since",
    "busy_since",
    "busy_warned_at",
    "not_well_since",
    "held_since",
    "stop_at",
    "idle_ends_at",
    "stop_at_reason",
    "warn_at",
    "warned_seconds",
    "due",
    "lease",
    "attempts",
)
_NOTE = update(SESSIONS).where(SESSIONS.c.id == bindparam("its_id"))


@cache
def _metered(limit: int | None) -> Select[Any]:
    costly = select(*(SESSIONS.c[field.name] for field in fields(Metered)))
    mine = costly.where(SESSIONS.c.account_id == bindparam("account"), STARTS_OR_RUNS)
    return mine.order_by(SESSIONS.c.id).limit(limit)


@dataclass(frozen=True, kw_only=True, slots=True)
class BriefSession:
    """What a list of an account's sessions says about each. Whole rows take long: an account may have thousands."""

    id: str
    name: str
    state: State
    model_id: str
    nodes: int
    created_at: datetime


class Sessions:
    """Queries and changes of sessions, inside one transaction."""

    def __init__(self, connection: Connection, writes: Gathering, outbox: Outbox, due: set[Step]) -> None:
        self._connection, self._writes = connection, writes
        self._outbox = outbox
        self._due = due

    # changes

    def insert(self, session: Session) -> Session:
        """Add a new session, with its events. A taken name violates a constraint."""
        self._writes.insert(SESSIONS, values_of(session))
        self._outbox.add(events.of_session(None, session))
        return session

    def save(self, before: Session, after: Session) -> Session:
        """Write the changed fields, with their events. Every single change of a session goes through here. The row is
        locked, or guarded by its lease.

        Raises IllegalTransition."""
        if before.state is not after.state:
            checked(before.state, after.state)
        changed = changes(before, after)
        if not changed:
            return after
        saved = replace(after, revision=before.revision + 1)
        self._writes.update(SESSIONS, before, saved, changed)
        self._outbox.add(events.of_session(before, after))
        return saved

    def save_all(self, changed: Sequence[tuple[Session, Session]], token: str) -> set[str]:
        """Write the results of pings, from (before, after) pairs, with their events, if token and revision are
        unchanged; return the ids of the sessions written. Rows are locked in the order of their ids."""
        if not changed:
            return set()
        leased = SESSIONS.c.id.in_([before.id for before, _ in changed]), SESSIONS.c.lease_token == token
        locked = select(SESSIONS.c.id, SESSIONS.c.revision).where(*leased).order_by(SESSIONS.c.id)
        as_read = {row.id: row.revision for row in self._connection.execute(locked.with_for_update())}
        kept = [(before, after) for before, after in changed if as_read.get(before.id) == before.revision]
        if kept:
            noted = [values_of(after, _NOTED) for _, after in kept]
            rows = [
                {"its_id": before.id, "revision": before.revision + 1, **values}
                for (before, _), values in zip(kept, noted, strict=True)
            ]
            self._connection.execute(_NOTE, rows)
        for before, after in kept:
            self._outbox.add(events.of_session(before, after))
        return {before.id for before, _ in kept}

    def wake(self, *steps: Step) -> None:
        """Note that this transaction made these steps due: wake-ups are sent after its commit."""
        self._due.update(steps)

    def note_attempt(self, session_id: str, retry_at: datetime) -> None:
        """Postpone a row with a failed step, and count the attempt, so that it does not hold up other rows."""
        self._connection.execute(
            update(SESSIONS)
            .where(SESSIONS.c.id == session_id, SESSIONS.c.next_step.is_not(None))
            .values(attempts=SESSIONS.c.attempts + 1, next_step_at=retry_at)
        )

    # one session

    def get(self, session_id: str) -> Session | None:
        """Return the session as it is, unlocked."""
        row = self._connection.execute(select(SESSIONS).where(SESSIONS.c.id == session_id)).first()
        return snapshot(Session, row) if row else None

    def of(self, session_ids: Collection[str]) -> dict[str, Session]:
        """Return those of these sessions that exist, by id, as they are, unlocked."""
        rows = self._connection.execute(
            select(SESSIONS).where(among(self._connection, SESSIONS.c.id, session_ids))
        )
        return {row.id: snapshot(Session, row) for row in rows}

    def lock(self, session_id: str) -> Session | None:
        """Return the session, locked until the end of the transaction. Lock its account first if you need it."""
        query = select(SESSIONS).where(SESSIONS.c.id == session_id).with_for_update()
        row = self._connection.execute(query).first()
        return snapshot(Session, row) if row else None

    def lock_with_standing(self, session_id: str, account_id: str) -> tuple[Session, Standing] | None:
        """Return the same, with the account's `Standing`. Call it once the account's lock is held."""
        query = select(SESSIONS, *standing_of(account_id)).where(SESSIONS.c.id == session_id)
        row = self._connection.execute(query.with_for_update(of=SESSIONS)).first()
        return (snapshot(Session, row), snapshot(Standing, row)) if row else None

    def lock_all(self, session_ids: Collection[str]) -> dict[str, Session]:
        """Return several sessions, locked in the order of their ids."""
        query = locked_rows(self._connection.dialect.name, SESSIONS)
        rows = self._connection.execute(query, {IDS: list(session_ids)})
        found = {session.id: session for session in snapshots(Session, rows)}
        self._writes.note_locked(SESSIONS, found)
        return found

    def by_name(self, account_id: str, name: str) -> str | None:
        """Return the id of the session that has this name in this account, among the not deleted."""
        return self._connection.execute(named(account_id, name)).scalar()

    # an account's sessions

    def accounts_of(self, session_ids: Collection[str]) -> dict[str, str]:
        """Return session id → account id, for those that exist."""
        mine = among(self._connection, SESSIONS.c.id, session_ids)
        rows = self._connection.execute(select(SESSIONS.c.id, SESSIONS.c.account_id).where(mine))
        return {row.id: row.account_id for row in rows}

    def metered(self, account_id: str, limit: int | None = None) -> Sequence[Metered]:
        """Return what an account's starting and running sessions cost, by id, up to `limit`. Under the account's lock
        their states and money do not change."""
        return snapshots(Metered, self._connection.execute(_metered(limit), {"account": account_id}))

    def overdue(self, account_id: str, now: datetime, limit: int | None = None) -> Sequence[Session]:
        """Return an account's starting and running sessions with a deadline that has passed, longest overdue first, up
        to `limit`. Lock a session before writing it."""
        query = select(SESSIONS).where(
            SESSIONS.c.account_id == account_id, STARTS_OR_RUNS, SESSIONS.c.stop_at <= now
        )
        ordered = query.order_by(SESSIONS.c.stop_at, SESSIONS.c.id).limit(limit)
        return [snapshot(Session, row) for row in self._connection.execute(ordered)]

    def standing(self, account_id: str) -> Standing:
        """Return the account's `Standing`. Call it once the account's lock is held: an earlier answer may be
        outdated."""
        row = self._connection.execute(select(*standing_of(account_id))).one()
        return Standing(**row._mapping)  # noqa: SLF001

    def usage(
        self,
        account_id: str,
        now: datetime,
        debts: Mapping[str | None, float],
        ahead_of: Session | None = None,
    ) -> Usage:
        """Return what counts against an account's quota now. One statement reads the sessions that wait or stop; the
        database keeps counts of all others.

        `debts`: after how many seconds an unproven close is the platform's debt, by provider; None: at all others.
        `ahead_of`: a queued session, so that only sessions before it are counted as ahead; None: a new session."""
        row = self._connection.execute(usage_of(account_id, now, debts, ahead_of)).one()
        return Usage(**{name: int(value) for name, value in row._mapping.items()})  # noqa: SLF001

    def in_cleanup_debt(
        self, account_id: str, now: datetime, debts: Mapping[str | None, float]
    ) -> frozenset[str]:
        """Return the account's sessions that `usage` counts as debt."""
        mine = of_account(account_id, State.STOPPING)
        query = select(SESSIONS.c.id).where(mine, in_cleanup_debt(now, debts))
        return frozenset(self._connection.execute(query).scalars())

    def has_live_session(
        self, provider: str, credential: str, since: datetime, model_id: str | None = None
    ) -> bool:
        """Return whether a running session under this key, and of this model if given, was alive since then."""
        alive = exists().where(
            SESSIONS.c.provider == provider,
            SESSIONS.c.credential == credential,
            RUNS,
            SESSIONS.c.last_alive_at >= since,
            true() if model_id is None else SESSIONS.c.model_id == model_id,
        )
        return bool(self._connection.execute(select(alive)).scalar())

    # what is due

    def due(self, step: Step, now: datetime, limit: int) -> Sequence[tuple[str, str]]:
        """Return (session, account) of rows due for the step, the longest overdue first; nothing is claimed."""
        query = (
            select(SESSIONS.c.id, SESSIONS.c.account_id)
            .select_from(with_sessions())
            .where(is_due(step, now))
            .order_by(STEPS.c.at)
            .limit(limit)
        )
        return [(row.id, row.account_id) for row in self._connection.execute(query)]

    def accounts_to_stop(self, now: datetime, limit: int) -> Sequence[tuple[str, int]]:
        """Return accounts with sessions that must stop by now, and how many these are, the longest overdue first. A
        session's next step does not matter: a stop does not wait for a ping. Postponed stops are left out."""
        query = (
            select(SESSIONS.c.account_id, func.count())
            .where(_stops_by(now), or_(SESSIONS.c.next_step != Step.STOP, SESSIONS.c.next_step_at <= now))
            .group_by(SESSIONS.c.account_id)
            .order_by(func.min(SESSIONS.c.stop_at), SESSIONS.c.account_id)
            .limit(limit)
        )
        return [(row[0], row[1]) for row in self._connection.execute(query)]

    def put_off_stops(self, account_id: str, now: datetime, until: datetime) -> None:
        """Postpone all due stops of an account, and count the attempt."""
        mine = select(SESSIONS.c.id).where(SESSIONS.c.account_id == account_id, _stops_by(now))
        in_order = mine.order_by(SESSIONS.c.id)  # the order in which all transactions lock sessions
        locked = in_order.with_for_update().cte("locked")
        put_off = update(SESSIONS).where(SESSIONS.c.id.in_(select(locked.c.id)))
        later = {"next_step": Step.STOP, "next_step_at": until, "attempts": SESSIONS.c.attempts + 1}
        self._connection.execute(put_off.values(**later))

    # for people

    def listed(
        self,
        *,
        account_id: str | None = None,
        states: Collection[State] = (),
        limit: int = 100,
    ) -> Sequence[Session]:
        """Return sessions that are not deleted, newest first. No more than `limit` of each state are read."""
        query = _listed([SESSIONS], account_id, states, limit)
        return [snapshot(Session, row) for row in self._connection.execute(query)]

    def in_brief(self, account_id: str, states: Collection[State], limit: int) -> Sequence[BriefSession]:
        """Return the same of an account's sessions, in brief."""
        columns = [SESSIONS.c[field.name] for field in fields(BriefSession)]
        query = _listed(columns, account_id, states, limit)
        return [BriefSession(**row._mapping) for row in self._connection.execute(query)]  # noqa: SLF001

    def count_by_state(self) -> Sequence[tuple[State, str | None, int]]:
        """Return (state, provider, sessions) of all that are not deleted: live ones are counted here, and the database
        keeps counts of the others."""
        lives = select(SESSIONS.c.state, SESSIONS.c.provider, func.count()).where(
            SESSIONS.c.deleted_at.is_(None), SESSIONS.c.state.in_(LIVE)
        )
        rests = select(_COUNTS.c.state, _COUNTS.c.provider, func.sum(_COUNTS.c.n))
        grouped = rests.group_by(_COUNTS.c.state, _COUNTS.c.provider).having(func.sum(_COUNTS.c.n) != 0)
        found = [
            *self._connection.execute(lives.group_by(SESSIONS.c.state, SESSIONS.c.provider)),
            *self._connection.execute(grouped),
        ]
        return [(State(state), provider or None, int(n)) for state, provider, n in found]

    def oldest_due(self) -> dict[Step, datetime]:
        """Return the earliest time of each step that a session waits for."""
        firsts = [select(func.min(STEPS.c.at)).where(STEPS.c.step == step).scalar_subquery() for step in Step]
        found = self._connection.execute(select(*firsts)).one()
        return {step: at for step, at in zip(Step, found, strict=True) if at is not None}


def named(account_id: str | ColumnElement[str], name: str | ColumnElement[str]) -> Select[str]:
    """Select the id of the session that has this name in this account, among the not deleted."""
    mine = SESSIONS.c.account_id == account_id, SESSIONS.c.name == name, SESSIONS.c.deleted_at.is_(None)
    return select(SESSIONS.c.id).where(*mine)


def _stops_by(now: datetime) -> ColumnElement[bool]:
    return and_(SESSIONS.c.next_step.in_([Step.STOP, Step.PING, Step.WARN]), SESSIONS.c.stop_at <= now)


def _listed(
    columns: Sequence[Any], account_id: str | None, states: Collection[State], limit: int
) -> Select[Any]:
    newest = union_all(*(_newest(state, account_id, limit) for state in states or State)).subquery()
    query = select(*columns).join(newest, newest.c.id == SESSIONS.c.id)
    return query.order_by(SESSIONS.c.created_at.desc()).limit(limit)


def _newest(state: State, account_id: str | None, limit: int) -> Select[tuple[str]]:
    """Select the newest of one state. Each state is read by itself, so that an index gives them in order."""
    mine = true() if account_id is None else SESSIONS.c.account_id == account_id
    query = select(SESSIONS.c.id).where(mine, SESSIONS.c.deleted_at.is_(None), SESSIONS.c.state == state)
    return select(query.order_by(SESSIONS.c.created_at.desc()).limit(limit).subquery())
