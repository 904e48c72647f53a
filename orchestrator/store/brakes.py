"""Named queries over brakes: is a provider ill, and who is held there."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, and_, case, delete, func, not_, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from orchestrator.rules.brake import WINDOW, Health
from orchestrator.rules.states import StopReason
from orchestrator.rules.values import Brake
from orchestrator.store.living import RUNS
from orchestrator.store.rows import snapshot, table_of, values_of
from orchestrator.store.tables import BrakeRow, PlacementRow, SessionRow

BRAKES = table_of(BrakeRow)
PLACEMENTS = table_of(PlacementRow)
SESSIONS = table_of(SessionRow)


def scope_of(provider: str, credential: str | None = None) -> str:
    """The key of a brake."""
    return f"provider:{provider}" if credential is None else f"credential:{provider}:{credential}"


class Brakes:
    """Queries and changes of brakes, inside one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def listed(self) -> Sequence[Brake]:
        """Every brake that holds."""
        return [
            snapshot(Brake, row) for row in self._connection.execute(select(BRAKES).order_by(BRAKES.c.scope))
        ]

    def holding(self, provider: str, credential: str | None) -> Sequence[Brake]:
        """The brakes that hold a session there: the provider's, its credential's."""
        scopes = [scope_of(provider)] + ([scope_of(provider, credential)] if credential else [])
        query = select(BRAKES).where(BRAKES.c.scope.in_(scopes))
        return [snapshot(Brake, row) for row in self._connection.execute(query)]

    def health(self, provider: str, credential: str | None, now: datetime) -> Health:
        """How many run there, and how many of these fell ill within the window. Each session counts once."""
        since = now - WINDOW
        there, lost = [SESSIONS.c.provider == provider], [PLACEMENTS.c.provider == provider]
        if credential is not None:
            there.append(SESSIONS.c.credential == credential)
            lost.append(PLACEMENTS.c.credential == credential)
        lost_there = select(PLACEMENTS.c.session_id).where(*lost, PLACEMENTS.c.lost_at >= since)
        ill = or_(_in_doubt(since), SESSIONS.c.id.in_(lost_there))
        runs = and_(*there, RUNS)
        died = and_(*there, SESSIONS.c.stop_reason == StopReason.DEAD, SESSIONS.c.stopped_at >= since)
        moved_on = and_(
            SESSIONS.c.id.in_(lost_there), *(not_(func.coalesce(told, False)) for told in (runs, died))
        )
        running, doubtful = self._connection.execute(
            select(func.count(), func.sum(case((ill, 1), else_=0))).select_from(SESSIONS).where(runs)
        ).one()
        deaths = sum(self._how_many(which) for which in (died, moved_on))
        return Health(running=running, doubtful=int(doubtful or 0), died=deaths)

    def _how_many(self, which: ColumnElement[bool]) -> int:
        return self._connection.execute(select(func.count()).select_from(SESSIONS).where(which)).scalar_one()

    def engage(self, brake: Brake) -> bool:
        """Hold everybody there; False where somebody did already."""
        dialect = postgresql if self._connection.dialect.name == "postgresql" else sqlite
        statement = dialect.insert(BRAKES).values(**values_of(brake)).on_conflict_do_nothing()
        return self._connection.execute(statement.returning(BRAKES.c.scope)).first() is not None

    def succeeded(self, scope: str) -> int:
        """One more session in doubt answered well; return how many did."""
        counted = update(BRAKES).where(BRAKES.c.scope == scope).values(successes=BRAKES.c.successes + 1)
        found = self._connection.execute(counted.returning(BRAKES.c.successes)).scalar()
        return int(found or 0)

    def still_ill(self, provider: str, credential: str | None) -> int:
        """How many run there and are in doubt, since whenever."""
        there = [SESSIONS.c.provider == provider, RUNS]
        if credential is not None:
            there.append(SESSIONS.c.credential == credential)
        return self._how_many(and_(*there, or_(SESSIONS.c.failures > 0, SESSIONS.c.gone_since.is_not(None))))

    def release(self, brake: Brake) -> bool:
        """Lift it, and let every streak there start anew. False where it was lifted already."""
        gone = delete(BRAKES).where(BRAKES.c.scope == brake.scope).returning(BRAKES.c.scope)
        if self._connection.execute(gone).first() is None:
            return False
        there = [SESSIONS.c.provider == brake.provider, RUNS]
        if brake.credential is not None:
            there.append(SESSIONS.c.credential == brake.credential)
        ill = or_(
            SESSIONS.c.failures > 0,
            SESSIONS.c.gone_since.is_not(None),
            SESSIONS.c.unusable_since.is_not(None),
        )
        ids = select(SESSIONS.c.id).where(*there, ill).order_by(SESSIONS.c.id).with_for_update().cte("ill")
        anew = {"failures": 0, "failing_since": None, "gone_since": None, "unusable_since": None}
        self._connection.execute(
            update(SESSIONS).where(SESSIONS.c.id == ids.c.id).values(revision=SESSIONS.c.revision + 1, **anew)
        )
        return True

    def overdue(self, now: datetime) -> Sequence[Brake]:
        """Brakes that have held for as long as they may."""
        query = select(BRAKES).where(BRAKES.c.until <= now)
        return [snapshot(Brake, row) for row in self._connection.execute(query)]


def _in_doubt(since: datetime) -> ColumnElement[bool]:
    failing = and_(SESSIONS.c.failures > 0, SESSIONS.c.failing_since >= since)
    return or_(failing, SESSIONS.c.gone_since >= since)
