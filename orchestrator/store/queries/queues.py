"""Named queries over queues: which sessions wait, for what, in which order, and which are tried again."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    String,
    and_,
    bindparam,
    cast,
    exists,
    func,
    literal,
    or_,
    select,
    true,
    union_all,
    update,
)

from orchestrator.rules.states import State, Step
from orchestrator.rules.upstream.alarms import AlarmKind
from orchestrator.rules.values import Session
from orchestrator.store.core.rows import snapshot
from orchestrator.store.plain import table_of
from orchestrator.store.queries.due import STEPS, due_after, due_by
from orchestrator.store.queries.rate_limits import MODEL_WAITS

_SESSIONS = table_of("sessions")
_MODELS = table_of("models")
_ACCOUNTS = table_of("accounts")
_ALARMS = table_of("alarms")
#: The reason to wait that does not hold up the rest of the account's queue.
ELSEWHERE = "no_capacity"
#: How many such sessions, at the head of a queue, are woken at once.
_HEADS = 50


class Queues:
    """Queries over queued sessions, inside one transaction."""

    def __init__(self, connection: Connection, due: set[Step]) -> None:
        self._connection = connection
        self._due = due

    def models_waiting(
        self, session: Session, places: Mapping[str, int | None], *, ahead_of: Session | None = None
    ) -> set[tuple[str, str]]:
        """Return (provider, model) of other sessions in this session's account that wait for a provider that this
        session could take.

        `places`: these providers, and the most nodes that each allows; None: any number. A session that is pinned to a
        key waits for that key only. `ahead_of`: a queued session; only sessions before it count."""
        if not places:
            return set()
        attached = _SESSIONS.c.attach.is_not(None)
        pinned = _SESSIONS.c.pinned_credential
        waits = and_(
            _SESSIONS.c.account_id == session.account_id,
            _SESSIONS.c.state == State.QUEUED,
            _SESSIONS.c.deleted_at.is_(None),
            _SESSIONS.c.queue_reason == ELSEWHERE,
            _SESSIONS.c.id != session.id,
            _MODELS.c.id == _SESSIONS.c.model_id,
            attached if session.attach is not None else ~attached,
            or_(pinned.is_(None), pinned == session.pinned_credential),
            true() if ahead_of is None else came_before(ahead_of),
        )
        each = (
            select(literal(provider).label("provider"), _SESSIONS.c.model_id)
            .where(waits, _served_at(provider, most))
            .distinct()
            for provider, most in sorted(places.items())
        )
        return {(row.provider, row.model_id) for row in self._connection.execute(union_all(*each))}

    def of_account(self, account_id: str) -> Sequence[Session]:
        """Return an account's queued sessions in their order."""
        query = select(_SESSIONS).where(_queued(account_id)).order_by(_SESSIONS.c.queued_at, _SESSIONS.c.id)
        return [snapshot(Session, row) for row in self._connection.execute(query)]

    def position(self, session: Session) -> int:
        """Return the session's position in its account's queue; the first is 1."""
        mine = _queued(session.account_id)
        query = select(func.count()).where(mine, came_before(session))
        return int(self._connection.execute(query).scalar_one()) + 1

    def wake_next_queued(self, account_id: str, now: datetime) -> None:
        """Wake the sessions at the head of this account's queue, up to the first that waits for the account itself."""
        mine = _queued(account_id)
        heads = self._connection.execute(_in_turn(mine, _HEADS)).all()
        ids = _up_to_first_waiting_here(heads)
        if len(heads) == _HEADS and all(head.queue_reason == ELSEWHERE for head in heads):
            here = _in_turn(and_(mine, _SESSIONS.c.queue_reason.is_distinct_from(ELSEWHERE)), 1)
            ids += [row.id for row in self._connection.execute(here)]
        self.let_look(ids, now)

    def wake_waiting_for_provider(
        self,
        provider: str,
        now: datetime,
        *,
        credential: str | None = None,
        attached: bool | None = None,
        nodes: int | None = None,
    ) -> None:
        """Wake one session that waits for this provider and may take the free place, round-robin.

        Known of the place: its key, whether it was for a user's own endpoint, how many nodes it had. A session cannot
        take a place if the key refuses its model now, or is rate-limited for it. If the first one may be unable to take
        the place, wake one that surely can, too."""
        pinned = _SESSIONS.c.pinned_credential
        waits = and_(_waits_for(provider, now), ~_is_rate_limited(provider, credential or "", now))
        if credential is not None:
            waits = and_(
                waits, or_(pinned.is_(None), pinned == credential), ~_refused_by(provider, credential)
            )
        if attached is not None:
            own = _SESSIONS.c.attach.is_not(None)
            waits = and_(waits, own if attached else ~own)
        woken = self._first_in_turn(waits, now)
        too_large = nodes is not None and any(row.nodes > nodes for row in woken)
        if too_large or any(row.pinned_credential != credential for row in woken if row.pinned_credential):
            fits = true() if nodes is None else _SESSIONS.c.nodes <= nodes
            any_key = pinned.is_(None) if credential is None else true()
            woken = [*woken, *self._first_in_turn(and_(waits, fits, any_key), now)]
        self.let_look([row.id for row in woken], now)

    def wake_waiting_for_model(self, model_id: str, now: datetime) -> None:
        """Wake the sessions that wait for a model after its price or providers changed."""
        self._make_admissible(_SESSIONS.c.model_id == model_id, now)

    def has_waiting_session(self, provider: str, now: datetime) -> bool:
        """Return whether a session waits for this provider and is not due to be tried already."""
        served = and_(_MODELS.c.id == _SESSIONS.c.model_id, _waits_for(provider, now))
        return bool(self._connection.execute(select(exists().where(served))).scalar())

    def providers_awaited(self, providers: Sequence[str], now: datetime) -> set[str]:
        """Return those of these providers for which a session waits that is not due to be tried already."""
        if not providers:
            return set()
        found = self._connection.execute(_awaited(tuple(providers)), {"now": now}).one()
        return {provider for provider, waits in zip(providers, found, strict=True) if waits}

    def accounts_held_up(self, now: datetime, limit: int, lot: int = 0) -> Sequence[str]:
        """Return accounts with sessions that wait for the account itself. If there are more than `limit`, begin at a
        place chosen by `lot`, any number, so that none is left out for ever."""
        here = _SESSIONS.c.queue_reason.is_distinct_from(ELSEWHERE)
        waits = and_(due_after(Step.ADMIT, now), here)
        query = select(_SESSIONS.c.account_id).where(waits).distinct().order_by(_SESSIONS.c.account_id)
        total = self._connection.execute(select(func.count()).select_from(query.subquery())).scalar_one()
        start = lot % total if total > limit else 0
        found = list(self._connection.execute(query.offset(start).limit(limit)).scalars())
        if start:
            found += self._connection.execute(query.limit(limit - len(found))).scalars()
        return found

    def first_held_up(self, account_id: str) -> Session | None:
        """Return the first session in an account's queue that waits for the account itself."""
        here = _SESSIONS.c.queue_reason.is_distinct_from(ELSEWHERE)
        mine = select(_SESSIONS).where(_queued(account_id), here)
        row = self._connection.execute(mine.order_by(_SESSIONS.c.queued_at, _SESSIONS.c.id).limit(1)).first()
        return snapshot(Session, row) if row else None

    def let_look(self, ids: Sequence[str], now: datetime) -> None:
        """Make these due to be tried again."""
        if ids:
            self._make_admissible(_SESSIONS.c.id.in_(ids), now)

    def due_to_be_admitted(self, now: datetime, limit: int) -> Sequence[tuple[str, str]]:
        """Return queued sessions that are due to be tried, round-robin across accounts, in order within one."""
        query = (
            select(_SESSIONS.c.id, _SESSIONS.c.account_id)
            .join(_ACCOUNTS, _ACCOUNTS.c.id == _SESSIONS.c.account_id)
            .where(due_by(Step.ADMIT, now))
            .order_by(_ACCOUNTS.c.last_admitted_at.asc().nulls_first(), _SESSIONS.c.queued_at, _SESSIONS.c.id)
            .limit(limit)
        )
        return [(row.id, row.account_id) for row in self._connection.execute(query)]

    def _first_in_turn(
        self, which: ColumnElement[bool], now: datetime
    ) -> Sequence[Row[str, int, str | None]]:
        """Return the first session in turn. An account with a session that is already woken comes after the others."""
        looking = _SESSIONS.alias()
        looks = select(looking.c.account_id).where(due_by(Step.ADMIT, now, looking))
        its_turn_is_over = _SESSIONS.c.account_id.in_(looks)
        query = (
            select(_SESSIONS.c.id, _SESSIONS.c.nodes, _SESSIONS.c.pinned_credential)
            .join(_ACCOUNTS, _ACCOUNTS.c.id == _SESSIONS.c.account_id)
            .join(_MODELS, _MODELS.c.id == _SESSIONS.c.model_id)
            .where(which)
            .order_by(
                its_turn_is_over,
                _ACCOUNTS.c.last_admitted_at.asc().nulls_first(),
                _SESSIONS.c.queued_at,
                _SESSIONS.c.id,
            )
            .limit(1)
        )
        return self._connection.execute(query).all()

    def _make_admissible(self, which: ColumnElement[bool], now: datetime) -> None:
        waits = and_(which, due_after(Step.ADMIT, now))
        if self._connection.execute(update(_SESSIONS).where(waits).values(next_step_at=now)).rowcount:
            self._due.add(Step.ADMIT)


def _queued(account_id: str) -> ColumnElement[bool]:
    return and_(
        _SESSIONS.c.account_id == account_id,
        _SESSIONS.c.state == State.QUEUED,
        _SESSIONS.c.deleted_at.is_(None),
    )


def _in_turn(which: ColumnElement[bool], limit: int) -> Select[str, str | None]:
    query = select(_SESSIONS.c.id, _SESSIONS.c.queue_reason).where(which)
    return query.order_by(_SESSIONS.c.queued_at, _SESSIONS.c.id).limit(limit)


@lru_cache(maxsize=64)
def _awaited(providers: tuple[str, ...]) -> Select[Any]:
    """Build the question whether a session waits, for each of these providers: every batch of closes asks it."""
    now = bindparam("now", type_=STEPS.c.at.type)
    served = _MODELS.c.id == _SESSIONS.c.model_id
    columns: list[Any] = [
        exists().where(served, _waits_for(provider, now)).label(f"awaited_{n}")
        for n, provider in enumerate(providers)
    ]
    return select(*columns)


def _waits_for(provider: str, now: datetime | ColumnElement[datetime]) -> ColumnElement[bool]:
    return and_(
        due_after(Step.ADMIT, now),  # sessions that are due already are not counted
        _SESSIONS.c.queue_reason == ELSEWHERE,
        _served_at(provider, None),
    )


def _refused_by(provider: str, credential: str) -> ColumnElement[bool]:
    """Select sessions with a model that is paused under this key."""
    return exists().where(
        _ALARMS.c.kind == AlarmKind.MODEL_PAUSED,
        _ALARMS.c.provider == provider,
        _ALARMS.c.credential == credential,
        _ALARMS.c.model_id == _SESSIONS.c.model_id,
        _ALARMS.c.retry_at.is_not(None),
    )


def _is_rate_limited(provider: str, credential: str, now: datetime) -> ColumnElement[bool]:
    """Match sessions with a model that is rate-limited under this key: they are tried when the limit ends."""
    return exists().where(
        MODEL_WAITS.c.provider == provider,
        MODEL_WAITS.c.credential == credential,
        MODEL_WAITS.c.model_id == _SESSIONS.c.model_id,
        MODEL_WAITS.c.until > now,
    )


def _served_at(provider: str, most_nodes: int | None) -> ColumnElement[bool]:
    return and_(
        cast(_MODELS.c.providers, String).contains(f'"{provider}"', autoescape=True),
        or_(_SESSIONS.c.pinned_provider.is_(None), _SESSIONS.c.pinned_provider == provider),
        true() if most_nodes is None else _SESSIONS.c.nodes <= most_nodes,
    )


def came_before(queued: Session) -> ColumnElement[bool]:
    """Select sessions that came before this one: first come, first served; of those that came at once, by their ids."""
    return or_(
        _SESSIONS.c.queued_at < queued.queued_at,
        and_(_SESSIONS.c.queued_at == queued.queued_at, _SESSIONS.c.id < queued.id),
    )


def _up_to_first_waiting_here(heads: Sequence[Row[str, str | None]]) -> list[str]:
    ids = []
    for session_id, reason in heads:
        ids.append(session_id)
        if reason != ELSEWHERE:
            break
    return ids
