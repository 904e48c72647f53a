"""Named queries over rate limits: of a model under a key, of a key, or of a provider without keys."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, select

from orchestrator.store.core.bulk import upsert
from orchestrator.store.plain import table_of

WAITS = table_of("waits")
MODEL_WAITS = table_of("model_waits")


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelRateLimit:
    """A model that is rate-limited under a key until then; `credential` None: at a provider without keys."""

    provider: str
    credential: str | None
    model_id: str
    until: datetime


class RateLimits:
    """Rate limits of models, and of providers without credentials, inside one transaction. Their locks are taken after
    all others."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def limit_provider(self, provider: str, until: datetime) -> None:
        """Save the rate limit of a provider without credentials, unless it has a longer one."""
        statement = upsert(self._connection.dialect.name, WAITS).values(provider=provider, until=until)
        longer = statement.excluded.until > WAITS.c.until
        self._connection.execute(
            statement.on_conflict_do_update(index_elements=["provider"], set_={"until": until}, where=longer)
        )

    def limit_model(self, provider: str, ref: str | None, model_id: str, until: datetime) -> None:
        """Save the rate limit of this model under this key, unless it has a longer one."""
        key = {"provider": provider, "credential": ref or "", "model_id": model_id}
        statement = upsert(self._connection.dialect.name, MODEL_WAITS).values(**key, until=until)
        longer = statement.excluded.until > MODEL_WAITS.c.until
        self._connection.execute(
            statement.on_conflict_do_update(index_elements=list(key), set_={"until": until}, where=longer)
        )

    def forget(self, before: datetime) -> None:
        """Delete the rate limits of models that ended before then, since models come and go."""
        self._connection.execute(delete(MODEL_WAITS).where(MODEL_WAITS.c.until < before))

    def of_providers(self, now: datetime) -> Mapping[str, datetime]:
        """Return the providers that are rate-limited now for every model, and until when."""
        query = select(WAITS.c.provider, WAITS.c.until).where(WAITS.c.until > now)
        return {row.provider: row.until for row in self._connection.execute(query)}

    def without_key(self, model_id: str, now: datetime) -> Mapping[str, datetime]:
        """Return the providers that are rate-limited now for this model when it is used without a key, and until
        when."""
        alone = MODEL_WAITS.c.credential == "", MODEL_WAITS.c.model_id == model_id, MODEL_WAITS.c.until > now
        whole = select(WAITS.c.provider, WAITS.c.until).where(WAITS.c.until > now)
        query = whole.union_all(select(MODEL_WAITS.c.provider, MODEL_WAITS.c.until).where(*alone))
        rows = sorted(self._connection.execute(query), key=lambda row: row.until)
        return {row.provider: row.until for row in rows}

    def of_models(self, now: datetime, provider: str | None = None) -> Sequence[ModelRateLimit]:
        """Return the models that are rate-limited now, at one provider or at all, and under which key."""
        query = select(MODEL_WAITS).where(MODEL_WAITS.c.until > now)
        if provider is not None:
            query = query.where(MODEL_WAITS.c.provider == provider)
        in_order = query.order_by(MODEL_WAITS.c.provider, MODEL_WAITS.c.credential, MODEL_WAITS.c.model_id)
        return [
            ModelRateLimit(
                provider=row.provider,
                credential=row.credential or None,
                model_id=row.model_id,
                until=row.until,
            )
            for row in self._connection.execute(in_order)
        ]
