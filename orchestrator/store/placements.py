"""Named queries over placements: claims under a lease, and the one door through which their changes pass."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    and_,
    case,
    exists,
    func,
    insert,
    or_,
    select,
    update,
)

from orchestrator.rules import events
from orchestrator.rules.states import SERVING, PlacementState, State, Step, checked_placement
from orchestrator.rules.values import Placement
from orchestrator.store.credentials import cooling
from orchestrator.store.outbox import Outbox
from orchestrator.store.rows import changes, snapshot, table_of, values_of
from orchestrator.store.tables import CredentialRow, PlacementRow, SessionRow

PLACEMENTS = table_of(PlacementRow)
CREDENTIALS = table_of(CredentialRow)
_SESSIONS = table_of(SessionRow)
#: A close that is exactly so old is not our debt yet.
_TICK = timedelta(microseconds=1)
#: (id, credential, serialised)
DueRow = Row[Any]
#: A row that waits for its credential's lease looks again after this.
_BUSY = timedelta(seconds=1)


class Placements:
    """Queries and changes of placements, inside one transaction."""

    def __init__(self, connection: Connection, outbox: Outbox, due: set[Step]) -> None:
        self._connection = connection
        self._outbox = outbox
        self._due = due

    # changes

    def insert(self, placement: Placement) -> Placement:
        """Add a placement: the intent before the effect. A taken exclusive credential breaks a constraint."""
        self._connection.execute(insert(PLACEMENTS).values(**values_of(placement)))
        self._outbox.add(events.of_placement(None, placement))
        return placement

    def save(self, before: Placement, after: Placement) -> Placement:
        """Write the difference, with its events: the one door for every change of a placement.

        Raises IllegalTransition."""
        if before.state is not after.state:
            checked_placement(before.state, after.state)
        changed = changes(before, after)
        if not changed:
            return after
        changed["revision"] = before.revision + 1
        self._connection.execute(update(PLACEMENTS).where(PLACEMENTS.c.id == after.id).values(**changed))
        self._outbox.add(events.of_placement(before, after))
        return replace(after, revision=before.revision + 1)

    def wake(self, *steps: Step) -> None:
        """These steps became due with this transaction: its commit says so."""
        self._due.update(steps)

    # claims

    def claim(
        self,
        step: Step,
        provider: str,
        limit: int,
        *,
        now: datetime,
        token: str,
        lease_seconds: float,
        silence_seconds: float,
        rest_seconds: float,
        lacking: Collection[str] = (),
        held: Collection[str] | None = None,
    ) -> Sequence[Placement]:
        """Lease up to `limit` placements of `provider` whose `step` is due, longest overdue first.

        Written with the claim: the step that follows silence (an open is followed by a resolve after
        `silence_seconds`, the others by themselves) and, for platforms where lifecycle calls of one credential
        must not overlap, a lease on the credential; a row whose credential is leased to another waits.
        Credentials in `lacking` are left to other workers; a placement that is addressed by its key is claimed
        only where that very secret's fingerprint is among `held`."""
        due = self._due_rows(step, provider, limit, now, self._served(step, lacking, held, now))
        free = self._lease_credentials(due, now, token, lease_seconds, rest_seconds)
        ids = [row.id for row in due if not row.serialised or row.id in free]
        self._put_off([row.id for row in due if row.id not in set(ids)], now + _BUSY)
        if not ids:
            return []
        following = Step.RESOLVE if step is Step.OPEN else step
        sent = {"sent_at": func.coalesce(PLACEMENTS.c.sent_at, now)} if step is Step.OPEN else {}
        claim = (
            update(PLACEMENTS)
            .where(PLACEMENTS.c.id.in_(ids))
            .values(
                lease_token=token,
                lease_until=now + timedelta(seconds=lease_seconds),
                attempts=PLACEMENTS.c.attempts + 1,
                next_step=following,
                next_step_at=now + timedelta(seconds=max(silence_seconds, lease_seconds)),
                **sent,
            )
            .returning(PLACEMENTS)
        )
        return [snapshot(Placement, row) for row in self._connection.execute(claim)]

    def _due_rows(
        self, step: Step, provider: str, limit: int, now: datetime, served: ColumnElement[bool]
    ) -> Sequence[DueRow]:
        query = (
            select(PLACEMENTS.c.id, PLACEMENTS.c.credential, PLACEMENTS.c.serialised)
            .where(PLACEMENTS.c.next_step == step, PLACEMENTS.c.next_step_at <= now)
            .where(PLACEMENTS.c.provider == provider, served)
            .order_by(PLACEMENTS.c.next_step_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        return list(self._connection.execute(query))

    @staticmethod
    def _served(
        step: Step, lacking: Collection[str], held: Collection[str] | None, now: datetime
    ) -> ColumnElement[bool]:
        if step is Step.CLOSE:
            return _of_those(lacking, held)
        waits = cooling(PLACEMENTS.c.provider, PLACEMENTS.c.credential, now)
        return and_(_of_those(lacking, held), ~waits)

    def _lease_credentials(
        self,
        due: Sequence[DueRow],
        now: datetime,
        token: str,
        lease_seconds: float,
        rest_seconds: float,
    ) -> set[str]:
        """Which of the due rows now hold their credential's lease: at most one for each credential."""
        first_of = {row.credential: row.id for row in reversed(due) if row.serialised}
        return {
            placement_id
            for ref, placement_id in sorted(first_of.items(), key=lambda item: str(item[0]))
            if self._lease_credential(placement_id, ref, now, token, lease_seconds, rest_seconds)
        }

    def _lease_credential(
        self,
        placement_id: str,
        ref: str | None,
        now: datetime,
        token: str,
        lease_seconds: float,
        rest_seconds: float,
    ) -> bool:
        provider = select(PLACEMENTS.c.provider).where(PLACEMENTS.c.id == placement_id).scalar_subquery()
        mine = and_(CREDENTIALS.c.provider == provider, CREDENTIALS.c.ref == ref)
        until = now + timedelta(seconds=lease_seconds)
        lost = and_(CREDENTIALS.c.lease_token.is_not(None), CREDENTIALS.c.lease_until <= now)
        rest = until + timedelta(seconds=rest_seconds)
        taken_over = (
            update(CREDENTIALS)
            .where(mine, lost)
            .values(lease_token=token, lease_until=until, resting_until=rest)
        )
        if self._connection.execute(taken_over).rowcount:
            return True
        free = update(CREDENTIALS).where(mine, CREDENTIALS.c.lease_token.is_(None))
        return self._connection.execute(free.values(lease_token=token, lease_until=until)).rowcount == 1

    def _put_off(self, ids: Collection[str], until: datetime) -> None:
        if ids:
            self._connection.execute(
                update(PLACEMENTS).where(PLACEMENTS.c.id.in_(ids)).values(next_step_at=until)
            )

    def lease_credential(
        self, placement: Placement, *, now: datetime, token: str, lease_seconds: float, rest_seconds: float
    ) -> bool:
        """For a ping that can close its session: the lease on the key, or False where another holds it."""
        return self._lease_credential(
            placement.id, placement.credential, now, token, lease_seconds, rest_seconds
        )

    def handles_since(self, provider: str, since: datetime, but: str) -> frozenset[str]:
        """Handles that placements of this provider other than `but` have or had since then."""
        query = select(PLACEMENTS.c.handle).where(
            PLACEMENTS.c.provider == provider,
            PLACEMENTS.c.handle.is_not(None),
            PLACEMENTS.c.id != but,
            or_(
                PLACEMENTS.c.next_step.is_not(None),
                PLACEMENTS.c.ended_at.is_(None),
                PLACEMENTS.c.ended_at >= since,
            ),
        )
        return frozenset(self._connection.execute(query).scalars())

    def rivals_sent_at(self, placement: Placement) -> tuple[datetime, ...]:
        """When other opens of the same model there were sent whose outcome is not known."""
        query = select(PLACEMENTS.c.sent_at).where(
            PLACEMENTS.c.provider == placement.provider,
            PLACEMENTS.c.provider_model_id == placement.provider_model_id,
            PLACEMENTS.c.id != placement.id,
            PLACEMENTS.c.sent_at.is_not(None),
            PLACEMENTS.c.state.in_([PlacementState.OPENING, PlacementState.UNKNOWN]),
        )
        return tuple(self._connection.execute(query).scalars())

    # one placement

    def get(self, placement_id: str) -> Placement | None:
        """The placement as it is, unlocked."""
        row = self._connection.execute(select(PLACEMENTS).where(PLACEMENTS.c.id == placement_id)).first()
        return snapshot(Placement, row) if row else None

    def lock(self, placement_id: str) -> Placement | None:
        """The placement, locked. Lock its account and session first."""
        query = select(PLACEMENTS).where(PLACEMENTS.c.id == placement_id).with_for_update()
        row = self._connection.execute(query).first()
        return snapshot(Placement, row) if row else None

    def unended(self, session_id: str) -> Sequence[Placement]:
        """A session's placements that may still cost money, locked, oldest first."""
        query = (
            select(PLACEMENTS)
            .where(PLACEMENTS.c.session_id == session_id)
            .where(PLACEMENTS.c.state.not_in([PlacementState.CLOSED, PlacementState.NEVER_OPENED]))
            .order_by(PLACEMENTS.c.n)
            .with_for_update()
        )
        return [snapshot(Placement, row) for row in self._connection.execute(query)]

    def of_session(self, session_id: str) -> Sequence[Placement]:
        """All placements of a session, oldest first."""
        query = select(PLACEMENTS).where(PLACEMENTS.c.session_id == session_id).order_by(PLACEMENTS.c.n)
        return [snapshot(Placement, row) for row in self._connection.execute(query)]

    def newest(self, session_ids: Collection[str]) -> dict[str, Placement]:
        """The newest placement of each of these sessions."""
        query = select(PLACEMENTS).where(PLACEMENTS.c.session_id.in_(session_ids)).order_by(PLACEMENTS.c.n)
        return {row.session_id: snapshot(Placement, row) for row in self._connection.execute(query)}

    def serving(self, session_id: str) -> Placement | None:
        """The one placement that is opening, unknown or open, locked."""
        query = (
            select(PLACEMENTS)
            .where(PLACEMENTS.c.session_id == session_id, PLACEMENTS.c.state.in_(SERVING))
            .with_for_update()
        )
        row = self._connection.execute(query).first()
        return snapshot(Placement, row) if row else None

    def handle_is_known(self, provider: str, handle: str) -> bool:
        """Does an unended placement stand for this handle already?"""
        query = select(
            exists().where(
                PLACEMENTS.c.provider == provider,
                PLACEMENTS.c.handle == handle,
                PLACEMENTS.c.state.not_in([PlacementState.CLOSED, PlacementState.NEVER_OPENED]),
            )
        )
        return bool(self._connection.execute(query).scalar())

    # for people

    def unproven(self) -> Sequence[Placement]:
        """Every placement whose close was tried and is not proven, and every orphan, oldest first."""
        debt = or_(PLACEMENTS.c.unproven_since.is_not(None), PLACEMENTS.c.session_id.is_(None))
        since = func.coalesce(PLACEMENTS.c.unproven_since, PLACEMENTS.c.closing_since)
        query = select(PLACEMENTS).where(debt, PLACEMENTS.c.next_step.is_not(None)).order_by(since)
        return [snapshot(Placement, row) for row in self._connection.execute(query)]

    def unserved(self, before: datetime, limit: int) -> Sequence[Placement]:
        """Locked: closes, and resolves of what is no longer wanted, due since before then and never tried."""
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
        """The earliest time of each step that a placement waits for."""
        query = select(PLACEMENTS.c.next_step, func.min(PLACEMENTS.c.next_step_at)).where(
            PLACEMENTS.c.next_step.is_not(None)
        )
        return {row[0]: row[1] for row in self._connection.execute(query.group_by(PLACEMENTS.c.next_step))}

    def in_debt_at(
        self, account_id: str, now: datetime, debts: Mapping[str | None, float]
    ) -> datetime | None:
        """When the next unproven close of this account becomes the platform's debt. `debts`: after how many
        seconds, by provider; None: at all others."""
        query = select(PLACEMENTS.c.provider, PLACEMENTS.c.unproven_since).where(
            PLACEMENTS.c.session_id.in_(_stopping(account_id)),
            PLACEMENTS.c.unproven_since.is_not(None),
            PLACEMENTS.c.next_step.is_not(None),
        )
        ends = [
            since + timedelta(seconds=debts.get(provider, debts[None])) + _TICK
            for provider, since in self._connection.execute(query)
        ]
        return min((at for at in ends if at > now), default=None)


def _stopping(account_id: str) -> Select[tuple[str]]:
    return select(_SESSIONS.c.id).where(
        _SESSIONS.c.account_id == account_id,
        _SESSIONS.c.state == State.STOPPING,
        _SESSIONS.c.deleted_at.is_(None),
    )


def _of_those(lacking: Collection[str], held: Collection[str] | None) -> ColumnElement[bool]:
    by_reference = or_(PLACEMENTS.c.credential.is_(None), PLACEMENTS.c.credential.not_in(lacking))
    if held is None:
        return by_reference
    by_secret = or_(PLACEMENTS.c.fingerprint.is_(None), PLACEMENTS.c.fingerprint.in_(held))
    return case((PLACEMENTS.c.exclusive, by_secret), else_=by_reference)
