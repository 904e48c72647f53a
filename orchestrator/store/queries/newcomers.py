"""Everything that a new session depends on, in one statement."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Select, String, bindparam, exists, func, or_, select

from orchestrator.rules.admission.quota import Usage
from orchestrator.rules.values import Model
from orchestrator.store.core.rows import snapshot
from orchestrator.store.queries.archive import ARCHIVED, archived_as
from orchestrator.store.queries.brakes import BRAKES
from orchestrator.store.queries.debts import unproven_before
from orchestrator.store.queries.models import MODELS
from orchestrator.store.queries.sessions import SESSIONS, named
from orchestrator.store.queries.usage import Standing, standing_of, usage_with

_AT = SESSIONS.c.created_at.type


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
        given = {"account": account_id, "session": session_id, "named": name, "model": model_id}
        limits = {f"debt_{n}": now - timedelta(seconds=debts[one]) for n, one in enumerate(debts)}
        row = self._connection.execute(_facts(tuple(debts)), given | limits).one()
        return NewSessionFacts(
            standing=snapshot(Standing, row),
            usage=Usage(**{field.name: int(row._mapping[field.name]) for field in fields(Usage)}),  # noqa: SLF001
            model=snapshot(Model, row) if row.id is not None else None,
            same_id=row.same_id,
            namesake=row.namesake,
            has_brakes=row.has_brakes,
        )


@lru_cache(maxsize=64)
def _facts(providers: tuple[str | None, ...]) -> Select[Any]:
    """Return the statement; built once, as it comes with each new session. `providers`: those with a limit of their
    own, after which an unproven close is their debt."""
    account, session = bindparam("account", type_=String()), bindparam("session", type_=String())
    limits = {one: bindparam(f"debt_{n}", type_=_AT) for n, one in enumerate(providers)}
    used = usage_with(account, unproven_before(limits)).subquery()
    same_id = or_(exists().where(SESSIONS.c.id == session), exists().where(ARCHIVED.c.id == session))
    name = bindparam("named", type_=String())
    namesake = func.coalesce(
        *(query.limit(1).scalar_subquery() for query in (named(account, name), archived_as(account, name)))
    )
    has_brakes = exists().select_from(BRAKES)
    beside = same_id.label("same_id"), namesake.label("namesake"), has_brakes.label("has_brakes")
    with_model = used.outerjoin(MODELS, MODELS.c.id == bindparam("model"))
    return select(used, MODELS, *standing_of(account), *beside).select_from(with_model)
