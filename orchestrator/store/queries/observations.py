"""Named queries for reconcile: our rows of one provider, and what its last lists left open."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, and_, delete, func, insert, or_, select

from orchestrator.rules.reconcile.lists import KnownPlacement
from orchestrator.rules.values import ReconcileObservation
from orchestrator.store.core.rows import snapshot, values_of
from orchestrator.store.plain import table_of
from orchestrator.store.queries.living import ENDED, UNENDED

PLACEMENTS = table_of("placements")
SESSIONS = table_of("sessions")
OBSERVATIONS = table_of("sightings")
#: Databases bound the parameters of a statement.
_AT_ONCE = 400


class ReconcileObservations:
    """Queries and changes of reconcile observations, inside one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def unended(
        self, provider: str, credential: str | None, fingerprint: str | None, now: datetime
    ) -> Sequence[KnownPlacement]:
        """Return every placement there that has not ended, with its session's last proof of life. A list under this key
        covers the placements that were opened with it, by reference and by secret."""
        query = (
            select(PLACEMENTS, SESSIONS.c.last_alive_at)
            .join(SESSIONS, SESSIONS.c.id == PLACEMENTS.c.session_id, isouter=True)
            .where(PLACEMENTS.c.provider == provider, UNENDED)
            .order_by(PLACEMENTS.c.sent_at)
        )
        rows = self._connection.execute(query)
        return [
            _known(row, now, covered=row.credential == credential and row.fingerprint in (None, fingerprint))
            for row in rows
        ]

    def ended_like(
        self, provider: str, handles: Collection[str], names: Collection[str], now: datetime
    ) -> Sequence[KnownPlacement]:
        """Return ended placements there that had one of these handles or names, the latest first."""
        found: list[KnownPlacement] = []
        wanted = sorted({*handles, *names})
        for some in (wanted[n : n + _AT_ONCE] for n in range(0, len(wanted), _AT_ONCE)):
            query = (
                select(PLACEMENTS, PLACEMENTS.c.ended_at.label("last_alive_at"))
                .where(or_(PLACEMENTS.c.handle.in_(some), PLACEMENTS.c.id.in_(some)))
                .where(PLACEMENTS.c.provider == provider, ENDED)
                .order_by(PLACEMENTS.c.ended_at.desc())
            )
            found += [_known(row, now, covered=True) for row in self._connection.execute(query)]
        return found

    def serving_under(
        self, others: Collection[str], provider: str, handles: Collection[str], names: Collection[str]
    ) -> set[str]:
        """Return those of these handles and names that live placements of other providers have. Names are compared with
        all providers; handles not with `others`, which have handles of another kind."""
        found: set[str] = set()
        live = UNENDED
        kin = and_(live, PLACEMENTS.c.provider.not_in([provider, *others]))
        named = and_(live, PLACEMENTS.c.provider != provider)
        for column, where, wanted in ((PLACEMENTS.c.handle, kin, handles), (PLACEMENTS.c.id, named, names)):
            every = sorted(wanted)
            for some in (every[n : n + _AT_ONCE] for n in range(0, len(every), _AT_ONCE)):
                found |= set(
                    self._connection.execute(select(column).where(where, column.in_(some))).scalars()
                )
        return found

    def of_key(self, provider: str, credential: str | None) -> Sequence[ReconcileObservation]:
        """Return what the last list under this key left open."""
        query = select(OBSERVATIONS).where(
            OBSERVATIONS.c.provider == provider, OBSERVATIONS.c.credential == (credential or "")
        )
        return [snapshot(ReconcileObservation, row) for row in self._connection.execute(query)]

    def missing_elsewhere(self, provider: str, credential: str | None) -> int:
        """Return how many of our placements the last lists under this provider's other keys lacked."""
        query = select(func.count()).select_from(OBSERVATIONS)
        query = query.where(OBSERVATIONS.c.provider == provider, OBSERVATIONS.c.missing)
        query = query.where(OBSERVATIONS.c.credential != (credential or ""))
        return int(self._connection.execute(query).scalar_one())

    def replace(self, provider: str, credential: str | None, seen: Collection[ReconcileObservation]) -> None:
        """Replace what this key's last list left open by what the newest list leaves open."""
        mine = (OBSERVATIONS.c.provider == provider, OBSERVATIONS.c.credential == (credential or ""))
        self._connection.execute(delete(OBSERVATIONS).where(*mine))
        if seen:
            self._connection.execute(insert(OBSERVATIONS), [values_of(one) for one in seen])


def _known(row: Row[Any], now: datetime, *, covered: bool) -> KnownPlacement:
    return KnownPlacement(
        id=row.id,
        session_id=row.session_id,
        state=row.state,
        handle=row.handle,
        candidate=row.candidate,
        sent_at=row.sent_at,
        opened_at=row.opened_at,
        ended_at=row.ended_at,
        alive_at=row.last_alive_at,
        leased=row.lease_token is not None and row.lease_until > now,
        covered=covered,
    )
