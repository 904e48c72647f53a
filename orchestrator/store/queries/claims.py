"""Leases of placements, and leases of keys that allow one call at a time."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    and_,
    bindparam,
    case,
    func,
    literal,
    or_,
    select,
    update,
)

from orchestrator.rules.states import Step, StopReason
from orchestrator.rules.values import Placement
from orchestrator.store.core.bulk import IDS, among_given
from orchestrator.store.core.rows import snapshots
from orchestrator.store.plain import table_of
from orchestrator.store.queries.availability import may_be_asked, moments
from orchestrator.store.queries.placements import PLACEMENTS

CREDENTIALS = table_of("credentials")
SESSIONS = table_of("sessions")
#: (id, credential, serialised)
DueRow = Row[Any]
#: The step between due times by which rows that wait for their credential keep their order.
_BETWEEN = timedelta(microseconds=1)
_MAY_BE_ASKED = may_be_asked(
    PLACEMENTS.c.provider, PLACEMENTS.c.credential, PLACEMENTS.c.model_id, row=PLACEMENTS.c.id
)


class Claims:
    """Leases of placements and of their keys, inside one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def claim(
        self,
        step: Step,
        provider: str,
        limit: int,
        *,
        now: datetime,
        token: str,
        lease_seconds: float,
        fallback_seconds: float,
        rest_seconds: float,
        spread_seconds: float = 0,
        lacking: Collection[str] = (),
        held: Collection[str] | None = None,
    ) -> Sequence[Placement]:
        """Lease up to `limit` placements of `provider` that are due for `step`, longest overdue first.

        The claim also writes the step that runs if the worker dies: after `fallback_seconds`, for an open a resolve,
        else the same step. On platforms where lifecycle calls of one credential must not overlap, it leases the
        credential as well; a row with a credential that is leased to another waits its turn.

        Credentials in `lacking` are left to other workers. A placement that is addressed by its key is claimed only if
        the fingerprint of that very secret is in `held`. `spread_seconds`: see `moments`."""
        due = self._due_rows(step, provider, limit, now, lacking, held, spread_seconds)
        free = self._lease_credentials(due, now, token, lease_seconds, rest_seconds)
        ids = [row.id for row in due if not row.serialised or row.id in free]
        self._put_off([row.id for row in due if row.id not in set(ids)], now)
        if not ids:
            return []
        fallback_at = now + timedelta(seconds=max(fallback_seconds, lease_seconds))
        return self._lease(ids, step, now, token, now + timedelta(seconds=lease_seconds), fallback_at)

    def lease_credential(
        self, placement: Placement, *, now: datetime, token: str, lease_seconds: float, rest_seconds: float
    ) -> bool:
        """Lease the key for a ping that can close its session. Return False if another call holds it."""
        return self._lease_credential(
            placement.id, placement.credential, now, token, lease_seconds, rest_seconds
        )

    def note_freed(self, placement_id: str, token: str, now: datetime) -> bool:
        """Note that the key is free, for an open under this token. Return False if another worker has taken the open
        over."""
        mine = and_(PLACEMENTS.c.id == placement_id, PLACEMENTS.c.lease_token == token)
        alive = and_(mine, PLACEMENTS.c.lease_until > now)
        return self._connection.execute(update(PLACEMENTS).where(alive).values(freed_at=now)).rowcount == 1

    def stopped_as_dead(self, session_ids: Collection[str]) -> set[str]:
        """Return those of the sessions that stopped as dead, or because their provider ended them on schedule."""
        gone = and_(SESSIONS.c.stop_reason == StopReason.PROVIDER_ENDED, SESSIONS.c.gone_since.is_not(None))
        dead = or_(SESSIONS.c.stop_reason == StopReason.DEAD, gone)
        query = select(SESSIONS.c.id).where(SESSIONS.c.id.in_(session_ids), dead)
        return set(self._connection.execute(query).scalars())

    def _lease(
        self,
        ids: Collection[str],
        step: Step,
        now: datetime,
        token: str,
        until: datetime,
        fallback_at: datetime,
    ) -> Sequence[Placement]:
        """Lease these until then. The step that follows a lost lease is due at `fallback_at`."""
        claim = _claim(step, self._connection.dialect.name)
        given = {IDS: list(ids), "token": token, "until": until, "now": now, "fallback_at": fallback_at}
        if step is not Step.OPEN:
            del given["now"]
        return snapshots(Placement, self._connection.execute(claim, given))

    def _due_rows(
        self,
        step: Step,
        provider: str,
        limit: int,
        now: datetime,
        lacking: Collection[str],
        held: Collection[str] | None,
        spread_seconds: float,
    ) -> Sequence[DueRow]:
        given: dict[str, Any] = {"provider": provider, "now": now, "most": limit, "lacking": list(lacking)}
        if held is not None:
            given["held"] = list(held)
        if step is not Step.CLOSE:
            given |= moments(now, spread_seconds)
        return list(self._connection.execute(_due(step, knows_held=held is not None), given))

    def _lease_credentials(
        self,
        due: Sequence[DueRow],
        now: datetime,
        token: str,
        lease_seconds: float,
        rest_seconds: float,
    ) -> set[str]:
        """Lease the credentials of these rows; return the rows that got theirs, at most one for each credential."""
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

    def _put_off(self, ids: Sequence[str], now: datetime) -> None:
        """Make these due now, in their order: behind rows that already waited for another credential, and before all
        later ones. With equal times, one row could be overtaken for ever."""
        if not ids:
            return
        time = PLACEMENTS.c.next_step_at.type
        due_at = {id_: literal(now - n * _BETWEEN, time) for n, id_ in enumerate(reversed(ids))}
        put_off = update(PLACEMENTS).where(PLACEMENTS.c.id.in_(ids))
        self._connection.execute(put_off.values(next_step_at=case(due_at, value=PLACEMENTS.c.id)))


@cache
def _due(step: Step, *, knows_held: bool) -> Select[Any]:
    """Build the query for due rows once: where many sessions end, it is executed for a few rows at a time."""
    served = _served(knows_held=knows_held)
    if step is not Step.CLOSE:
        served = and_(served, _MAY_BE_ASKED)
    due = PLACEMENTS.c.next_step_at <= bindparam("now", type_=PLACEMENTS.c.next_step_at.type)
    return (
        select(PLACEMENTS.c.id, PLACEMENTS.c.credential, PLACEMENTS.c.serialised)
        .where(PLACEMENTS.c.next_step == step, due)
        .where(PLACEMENTS.c.provider == bindparam("provider"), served)
        .order_by(PLACEMENTS.c.next_step_at)
        .limit(bindparam("most"))
        .with_for_update(skip_locked=True)
    )


def _served(*, knows_held: bool) -> ColumnElement[bool]:
    """Select rows by the parameters `lacking` and `held`."""
    credential, fingerprint = PLACEMENTS.c.credential, PLACEMENTS.c.fingerprint
    by_reference = or_(credential.is_(None), credential.not_in(bindparam("lacking", expanding=True)))
    if not knows_held:
        return by_reference
    by_secret = or_(fingerprint.is_(None), fingerprint.in_(bindparam("held", expanding=True)))
    return case((PLACEMENTS.c.exclusive, by_secret), else_=by_reference)


@cache
def _claim(step: Step, dialect: str) -> Any:
    """Build the claim of the rows with the parameter `IDS` once."""
    at = PLACEMENTS.c.next_step_at.type
    following = Step.RESOLVE if step is Step.OPEN else step
    sent = {"sent_at": func.coalesce(PLACEMENTS.c.sent_at, bindparam("now", type_=at)), "freed_at": None}
    return (
        update(PLACEMENTS)
        .where(among_given(dialect, PLACEMENTS.c.id))
        .values(
            lease_token=bindparam("token"),
            lease_until=bindparam("until", type_=at),
            attempts=PLACEMENTS.c.attempts + 1,
            next_step=following,
            next_step_at=bindparam("fallback_at", type_=at),
            **(sent if step is Step.OPEN else {}),
        )
        .returning(PLACEMENTS)
    )
