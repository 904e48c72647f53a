"""Named queries over brakes: whether a provider is at fault, and which sessions are held there.

Sessions in doubt are in an index of their own. Healthy ones are counted only as far as a decision needs, so that the
cost of a query does not grow with the number of live sessions."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    case,
    delete,
    false,
    func,
    not_,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from orchestrator.rules.states import State
from orchestrator.rules.upstream.brake import MANY, Health, Recovery
from orchestrator.rules.values import Brake
from orchestrator.store.core.rows import snapshot, values_of
from orchestrator.store.plain import table_of
from orchestrator.store.queries.living import IN_DOUBT, RUNS

BRAKES = table_of("brakes")
PLACEMENTS = table_of("placements")
SESSIONS = table_of("sessions")


def scope_of(provider: str, credential: str | None = None) -> str:
    """Return the key of a brake."""
    return f"provider:{provider}" if credential is None else f"credential:{provider}:{credential}"


class Brakes:
    """Queries and changes of brakes, inside one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def all(self) -> Sequence[Brake]:
        """Return every brake, by scope: those in force, and expired ones that are not deleted yet."""
        return self._found(select(BRAKES).order_by(BRAKES.c.scope))

    def holding(self, now: datetime) -> Sequence[Brake]:
        """Return every brake in force, by scope."""
        holds = BRAKES.c.expired_at.is_(None), BRAKES.c.until > now
        return self._found(select(BRAKES).where(*holds).order_by(BRAKES.c.scope))

    def at(self, provider: str, credential: str | None) -> Sequence[Brake]:
        """Return the brakes, in force or expired, at a session's provider and credential."""
        scopes = [scope_of(provider)] + ([scope_of(provider, credential)] if credential else [])
        return self._found(select(BRAKES).where(BRAKES.c.scope.in_(scopes)).order_by(BRAKES.c.scope))

    def health(
        self,
        provider: str,
        credential: str | None,
        *,
        since: datetime,
        judged: datetime | None,
        gone_counts: bool,
    ) -> Health:
        """Return how many sessions there are in doubt or have died, and how many of the others are well.

        `since`: answers and deaths count from then on. `judged`: doubts that began by then no longer count.
        `gone_counts`: whether a first GONE is a doubt; if not, it is a statement of the platform's own."""
        there, lost_there = _at(provider, credential)
        failing = and_(SESSIONS.c.failures > 0, _after(SESSIONS.c.failing_since, judged))
        gone = _after(SESSIONS.c.gone_since, judged) if gone_counts else false()
        lost = select(PLACEMENTS.c.session_id).where(*lost_there, PLACEMENTS.c.lost_at >= since)
        doubtful = self._how_many(*there, RUNS, IN_DOUBT, or_(failing, gone))
        in_doubt_here = and_(*there, RUNS, IN_DOUBT)
        died = self._how_many(SESSIONS.c.id.in_(lost), not_(func.coalesce(in_doubt_here, False)))
        answered = or_(SESSIONS.c.last_ping_at >= since, SESSIONS.c.last_alive_at >= since)
        is_well = not_(IN_DOUBT), answered, SESSIONS.c.id.not_in(lost)
        well = self._how_many(*there, RUNS, *is_well, at_most=doubtful + died + MANY)
        return Health(well=well, doubtful=doubtful, died=died)

    def recovery(self, brake: Brake) -> Recovery:
        """Return how the sessions held by this brake have recovered."""
        there, _ = _at(brake.provider, brake.credential)
        answered = not_(IN_DOUBT), SESSIONS.c.last_alive_at > brake.since
        return Recovery(
            recovered=brake.successes,
            doubtful=self._how_many(*there, RUNS, IN_DOUBT),
            running=self._how_many(*there, RUNS, at_most=MANY),
            answers=self._how_many(*there, RUNS, *answered, at_most=1) > 0,
        )

    def moved(self, brake: Brake) -> tuple[int, int]:
        """Count the sessions that left there since the brake began: how many start elsewhere, and how many run
        elsewhere."""
        _, lost_there = _at(brake.provider, brake.credential)
        left = select(PLACEMENTS.c.session_id).where(*lost_there, PLACEMENTS.c.lost_at >= brake.since)
        mine = SESSIONS.c.id.in_(left)
        elsewhere = SESSIONS.c.provider != brake.provider
        return (
            self._how_many(mine, SESSIONS.c.state == State.STARTING),
            self._how_many(mine, SESSIONS.c.state == State.RUNNING, elsewhere),
        )

    def has_answered(self, provider: str, credential: str | None, since: datetime) -> bool:
        """Return whether a session that runs there has given proof of life since then."""
        there, _ = _at(provider, credential)
        return self._how_many(*there, RUNS, SESSIONS.c.last_alive_at > since, at_most=1) > 0

    def doubted_by(self, provider: str, credential: str | None, at: datetime) -> bool:
        """Return whether a session there is in doubt since then or longer."""
        there, _ = _at(provider, credential)
        since = or_(SESSIONS.c.failing_since <= at, SESSIONS.c.gone_since <= at)
        return self._how_many(*there, RUNS, IN_DOUBT, since, at_most=1) > 0

    def engage(self, brake: Brake) -> bool:
        """Engage the brake there. Return False if one is in force already. An expired brake is replaced."""
        dialect = postgresql if self._connection.dialect.name == "postgresql" else sqlite
        row = values_of(brake)
        values = {
            name: value for name, value in row.items() if name not in {"scope", "provider", "credential"}
        }
        expired = or_(BRAKES.c.expired_at.is_not(None), BRAKES.c.until <= brake.since)
        statement = dialect.insert(BRAKES).values(**row)
        statement = statement.on_conflict_do_update(index_elements=["scope"], set_=values, where=expired)
        return self._connection.execute(statement.returning(BRAKES.c.scope)).first() is not None

    def note_successes(self, scope: str, recovered: int) -> Brake | None:
        """Count more sessions in doubt that answered. Return the brake as it is now, locked, or None if there is
        none."""
        counted = update(BRAKES).where(BRAKES.c.scope == scope)
        counted = counted.values(successes=BRAKES.c.successes + recovered)
        row = self._connection.execute(counted.returning(BRAKES)).first()
        return snapshot(Brake, row) if row else None

    def expire(self, brake: Brake, now: datetime) -> bool:
        """Mark the brake as expired. Return False if it is no longer in force."""
        mine = BRAKES.c.scope == brake.scope, BRAKES.c.since == brake.since, BRAKES.c.expired_at.is_(None)
        return self._connection.execute(update(BRAKES).where(*mine).values(expired_at=now)).rowcount == 1

    def forget(self, brake: Brake) -> bool:
        """Delete the row. Return False if it is gone, or a newer brake has replaced it."""
        mine = BRAKES.c.scope == brake.scope, BRAKES.c.since == brake.since
        return self._connection.execute(delete(BRAKES).where(*mine)).rowcount == 1

    def begin_again(self, brake: Brake) -> None:
        """Reset every streak of failures and every doubt there, and note which sessions were held. The time since each
        session's last proof of life is kept. Sessions are locked in the order of their ids."""
        there, _ = _at(brake.provider, brake.credential)
        ill = or_(IN_DOUBT, SESSIONS.c.unusable_since.is_not(None))
        ids = (
            select(SESSIONS.c.id)
            .where(*there, RUNS, ill)
            .order_by(SESSIONS.c.id)
            .with_for_update()
            .cte("ill")
        )
        held_since = func.coalesce(SESSIONS.c.held_since, brake.since)
        values = {
            "failures": 0,
            "failing_since": None,
            "gone_since": None,
            "unusable_since": None,
            "held_since": case((IN_DOUBT, held_since), else_=SESSIONS.c.held_since),
        }
        self._connection.execute(
            update(SESSIONS)
            .where(SESSIONS.c.id == ids.c.id)
            .values(revision=SESSIONS.c.revision + 1, **values)
        )

    def _found(self, query: Select[Any]) -> Sequence[Brake]:
        return [snapshot(Brake, row) for row in self._connection.execute(query)]

    def _how_many(self, *which: ColumnElement[bool], at_most: int | None = None) -> int:
        some = select(SESSIONS.c.id).where(*which).limit(at_most).subquery()
        return self._connection.execute(select(func.count()).select_from(some)).scalar_one()


def _at(provider: str, credential: str | None) -> tuple[list[ColumnElement[bool]], list[ColumnElement[bool]]]:
    """Return the conditions for sessions that are served there, and for placements there."""
    there, placed = [SESSIONS.c.provider == provider], [PLACEMENTS.c.provider == provider]
    if credential is not None:
        there.append(SESSIONS.c.credential == credential)
        placed.append(PLACEMENTS.c.credential == credential)
    return there, placed


def _after(column: ColumnElement[datetime | None], at: datetime | None) -> ColumnElement[bool]:
    return column.is_not(None) if at is None else column > at
