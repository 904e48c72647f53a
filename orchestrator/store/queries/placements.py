"""Named queries over placements, and the one method through which all their changes pass."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import (
    Connection,
    Select,
    and_,
    exists,
    func,
    or_,
    select,
)

from orchestrator.rules import events
from orchestrator.rules.states import SERVING, PlacementState, State, Step, checked_placement
from orchestrator.rules.values import Placement
from orchestrator.rules.values.copies import replace
from orchestrator.store.core.bulk import IDS, among_given
from orchestrator.store.core.gathering import Gathering
from orchestrator.store.core.rows import changes, snapshot, snapshots, values_of
from orchestrator.store.plain import table_of
from orchestrator.store.queries.living import PENDING, UNENDED
from orchestrator.store.queries.outbox import Outbox

PLACEMENTS = table_of("placements")
_SESSIONS = table_of("sessions")
#: A close of exactly the age limit is not our debt yet.
_TICK = timedelta(microseconds=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Rivals:
    """The times of other opens that may have made the session that a resolve is looking for."""

    wanted: tuple[datetime, ...] = ()
    unwanted: tuple[datetime, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Handles:
    """The handles of other placements: `taken` by placements that have not ended, `known` also from those that ended
    recently."""

    known: frozenset[str] = frozenset()
    taken: frozenset[str] = frozenset()


class Placements:
    """Queries and changes of placements, inside one transaction."""

    def __init__(self, connection: Connection, writes: Gathering, outbox: Outbox, due: set[Step]) -> None:
        self._connection, self._writes = connection, writes
        self._outbox = outbox
        self._due = due

    # changes

    def insert(self, placement: Placement) -> Placement:
        """Add a placement, before anything is sent. A taken exclusive credential violates a constraint."""
        self._writes.insert(PLACEMENTS, values_of(placement))
        self._outbox.add(events.of_placement(None, placement))
        return placement

    def save(self, before: Placement, after: Placement) -> Placement:
        """Write the changed fields, with their events. Every change of a placement goes through here.

        Raises IllegalTransition."""
        if before.state is not after.state:
            checked_placement(before.state, after.state)
        changed = changes(before, after)
        if not changed:
            return after
        saved = replace(after, revision=before.revision + 1)
        self._writes.update(PLACEMENTS, before, saved, changed)
        self._outbox.add(events.of_placement(before, after))
        return saved

    def wake(self, *steps: Step) -> None:
        """Note that this transaction made these steps due: wake-ups are sent after its commit."""
        self._due.update(steps)

    # what identifies a lost open

    def handles_since(self, provider: str, since: Mapping[str, datetime]) -> Mapping[str, Handles]:
        """Return, for each placement id, the handles that other placements of this provider have, or had since the
        given time. Two statements do this for any number of placements."""
        there = and_(PLACEMENTS.c.provider == provider, PLACEMENTS.c.handle.is_not(None))
        columns = select(PLACEMENTS.c.id, PLACEMENTS.c.handle, PLACEMENTS.c.ended_at)
        live = self._connection.execute(columns.where(there, UNENDED)).all()
        ended = self._connection.execute(
            columns.where(there, PLACEMENTS.c.ended_at >= min(since.values()))
        ).all()
        found = {}
        for mine, earliest in since.items():
            taken = frozenset(row.handle for row in live if row.id != mine)
            late = (row.handle for row in ended if row.id != mine and row.ended_at >= earliest)
            found[mine] = Handles(known=taken | frozenset(late), taken=taken)
        return found

    def rivals(self, placement: Placement) -> Rivals:
        """Return the other opens of the same model at the provider that have an unknown outcome."""
        query = select(PLACEMENTS.c.sent_at, PLACEMENTS.c.closing_since).where(
            PLACEMENTS.c.provider == placement.provider,
            PLACEMENTS.c.provider_model_id == placement.provider_model_id,
            PLACEMENTS.c.id != placement.id,
            PLACEMENTS.c.sent_at.is_not(None),
            UNENDED,
            PLACEMENTS.c.state.in_([PlacementState.OPENING, PlacementState.UNKNOWN]),
        )
        rows = self._connection.execute(query).all()
        return Rivals(
            wanted=tuple(row.sent_at for row in rows if row.closing_since is None),
            unwanted=tuple(row.sent_at for row in rows if row.closing_since is not None),
        )

    # one placement

    def get(self, placement_id: str) -> Placement | None:
        """Return the placement as it is, unlocked."""
        row = self._connection.execute(select(PLACEMENTS).where(PLACEMENTS.c.id == placement_id)).first()
        return snapshot(Placement, row) if row else None

    def lock(self, placement_id: str) -> Placement | None:
        """Return the placement, locked. Lock its account and session first."""
        query = select(PLACEMENTS).where(PLACEMENTS.c.id == placement_id).with_for_update()
        row = self._connection.execute(query).first()
        return snapshot(Placement, row) if row else None

    def unended(self, session_id: str) -> Sequence[Placement]:
        """Return a session's placements that may still cost money, locked, oldest first."""
        query = (
            select(PLACEMENTS)
            .where(PLACEMENTS.c.session_id == session_id)
            .where(UNENDED)
            .order_by(PLACEMENTS.c.n)
            .with_for_update()
        )
        return [snapshot(Placement, row) for row in self._connection.execute(query)]

    def lock_all(self, session_id: str) -> Sequence[Placement]:
        """Return all placements of a session, locked, oldest first."""
        query = select(PLACEMENTS).where(PLACEMENTS.c.session_id == session_id).order_by(PLACEMENTS.c.n)
        return [snapshot(Placement, row) for row in self._connection.execute(query.with_for_update())]

    def lock_of(self, session_ids: Collection[str]) -> dict[str, list[Placement]]:
        """Return all placements of each of these sessions, locked session by session, oldest first."""
        query = _locked_of(self._connection.dialect.name)
        found: dict[str, list[Placement]] = {one: [] for one in session_ids}
        rows = self._connection.execute(query, {IDS: list(session_ids)})
        for placement in snapshots(Placement, rows):
            found[placement.session_id or ""].append(placement)
        self._writes.note_locked(PLACEMENTS, [one.id for each in found.values() for one in each])
        return found

    def of_session(self, session_id: str) -> Sequence[Placement]:
        """Return all placements of a session, oldest first."""
        query = select(PLACEMENTS).where(PLACEMENTS.c.session_id == session_id).order_by(PLACEMENTS.c.n)
        return [snapshot(Placement, row) for row in self._connection.execute(query)]

    def of_sessions(self, session_ids: Collection[str]) -> dict[str, list[Placement]]:
        """Return all placements of each of these sessions that has any, oldest first."""
        query = select(PLACEMENTS).where(PLACEMENTS.c.session_id.in_(session_ids)).order_by(PLACEMENTS.c.n)
        found: dict[str, list[Placement]] = {}
        for row in self._connection.execute(query):
            found.setdefault(row.session_id, []).append(snapshot(Placement, row))
        return found

    def newest(self, session_ids: Collection[str]) -> dict[str, Placement]:
        """Return the newest placement of each of these sessions."""
        query = select(PLACEMENTS).where(PLACEMENTS.c.session_id.in_(session_ids)).order_by(PLACEMENTS.c.n)
        return {row.session_id: snapshot(Placement, row) for row in self._connection.execute(query)}

    def serving(self, session_id: str) -> Placement | None:
        """Return the session's one placement that is opening, unknown or open, locked."""
        query = (
            select(PLACEMENTS)
            .where(PLACEMENTS.c.session_id == session_id, PLACEMENTS.c.state.in_(SERVING))
            .with_for_update()
        )
        row = self._connection.execute(query).first()
        return snapshot(Placement, row) if row else None

    def handle_is_known(self, provider: str, handle: str) -> bool:
        """Return whether an unended placement has this handle already."""
        query = select(
            exists().where(
                PLACEMENTS.c.provider == provider,
                PLACEMENTS.c.handle == handle,
                UNENDED,
            )
        )
        return bool(self._connection.execute(query).scalar())

    # for people

    def unproven(self) -> Sequence[Placement]:
        """Return every orphan, and every placement with an unproven close, oldest first. The close was tried, or cannot
        be tried yet because the outcome of the open is unknown."""
        lost = and_(PLACEMENTS.c.state == PlacementState.UNKNOWN, PLACEMENTS.c.closing_since.is_not(None))
        debt = or_(PLACEMENTS.c.unproven_since.is_not(None), PLACEMENTS.c.session_id.is_(None), lost)
        since = func.coalesce(PLACEMENTS.c.unproven_since, PLACEMENTS.c.closing_since)
        query = select(PLACEMENTS).where(debt, PENDING).order_by(since)
        return [snapshot(Placement, row) for row in self._connection.execute(query)]

    def unserved(self, before: datetime, limit: int) -> Sequence[Placement]:
        """Return, locked, the closes, and the resolves of placements to be closed, that were due before then and never
        tried."""
        query = (
            select(PLACEMENTS)
            .where(
                PLACEMENTS.c.next_step.in_([Step.CLOSE, Step.RESOLVE]), PLACEMENTS.c.next_step_at <= before
            )
            .where(PLACEMENTS.c.closing_since.is_not(None), PLACEMENTS.c.unproven_since.is_(None))
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        return [snapshot(Placement, row) for row in self._connection.execute(query)]

    def oldest_due(self) -> dict[Step, datetime]:
        """Return the earliest time of each step that a placement waits for."""
        query = select(PLACEMENTS.c.next_step, func.min(PLACEMENTS.c.next_step_at)).where(
            PLACEMENTS.c.next_step.is_not(None)
        )
        return {row[0]: row[1] for row in self._connection.execute(query.group_by(PLACEMENTS.c.next_step))}

    def in_debt_at(
        self, account_id: str, now: datetime, debts: Mapping[str | None, float]
    ) -> datetime | None:
        """Return when the account's next stopping session becomes the platform's debt: when all its closes are overdue.
        `debts`: after how many seconds, by provider; None: at all others."""
        query = select(PLACEMENTS.c.session_id, PLACEMENTS.c.provider, PLACEMENTS.c.unproven_since).where(
            PLACEMENTS.c.session_id.in_(_stopping(account_id)), PLACEMENTS.c.next_step.is_not(None)
        )
        closes: dict[str, list[datetime | None]] = {}
        for session_id, provider, since in self._connection.execute(query):
            wait = timedelta(seconds=debts.get(provider, debts[None])) + _TICK
            closes.setdefault(session_id, []).append(since and since + wait)
        ends = [max(at for at in one if at) for one in closes.values() if all(one)]
        return min((at for at in ends if at > now), default=None)


@cache
def _locked_of(dialect: str) -> Select[Any]:
    """Build the query for placements of the sessions with the parameter `IDS`, locked, once."""
    mine = select(PLACEMENTS).where(among_given(dialect, PLACEMENTS.c.session_id))
    return mine.order_by(PLACEMENTS.c.session_id, PLACEMENTS.c.n).with_for_update()


def _stopping(account_id: str) -> Select[tuple[str]]:
    return select(_SESSIONS.c.id).where(
        _SESSIONS.c.account_id == account_id,
        _SESSIONS.c.state == State.STOPPING,
        _SESSIONS.c.deleted_at.is_(None),
    )
