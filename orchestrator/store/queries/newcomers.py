"""Everything that a new session depends on, in one statement."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime

from sqlalchemy import Connection, exists, func, or_, select

from orchestrator.rules.admission.quota import Usage
from orchestrator.rules.values import Model
from orchestrator.store.core.rows import snapshot
from orchestrator.store.queries.archive import ARCHIVED, archived_as
from orchestrator.store.queries.brakes import BRAKES
from orchestrator.store.queries.models import MODELS
from orchestrator.store.queries.sessions import SESSIONS, named
from orchestrator.store.queries.usage import Standing, standing_of, usage_of


@dataclass(frozen=True, kw_only=True, slots=True)
class NewSessionFacts:
    """The state of its account and surroundings when a new session arrives."""

    standing: Standing
    usage: Usage
    model: Model | None
    same_id: bool
    """Whether a session of any account has its id, archived or not."""
    namesake: str | None
    """The id of the session of its account that has its name and is not deleted, archived or not."""
    has_brakes: bool
    """Whether there is a brake at any provider."""


class Newcomers:
    """The one query for a new session, inside one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def read(
        self,
        account_id: str,
        now: datetime,
        debts: Mapping[str | None, float],
        *,
        session_id: str,
        name: str,
        model_id: str,
    ) -> NewSessionFacts:
        """Read the facts. Call it once the account's lock is held. `debts`: as for `Sessions.usage`."""
        used = usage_of(account_id, now, debts).subquery()
        same_id = or_(
            exists().where(SESSIONS.c.id == session_id), exists().where(ARCHIVED.c.id == session_id)
        )
        same_name = [named(account_id, name), archived_as(account_id, name)]
        namesake = func.coalesce(*(query.limit(1).scalar_subquery() for query in same_name))
        beside = same_id.label("same_id"), namesake.label("namesake"), _HAS_BRAKES.label("has_brakes")
        query = select(used, MODELS, *standing_of(account_id), *beside)
        with_model = used.outerjoin(MODELS, MODELS.c.id == model_id)
        row = self._connection.execute(query.select_from(with_model)).one()
        return NewSessionFacts(
            standing=snapshot(Standing, row),
            usage=Usage(**{field.name: int(row._mapping[field.name]) for field in fields(Usage)}),  # noqa: SLF001
            model=snapshot(Model, row) if row.id is not None else None,
            same_id=row.same_id,
            namesake=row.namesake,
            has_brakes=row.has_brakes,
        )


_HAS_BRAKES = exists().select_from(BRAKES)
