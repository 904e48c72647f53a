"""Named queries over models."""

from collections.abc import Sequence

from sqlalchemy import Connection, insert, select, update

from orchestrator.rules.values import Model
from orchestrator.store.core.rows import changes, snapshot, values_of
from orchestrator.store.plain import table_of

MODELS = table_of("models")


class Models:
    """Queries and changes of models, inside one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._absent: set[str] = set()

    def rely_on_absence(self, model_id: str) -> None:
        """Find no such model from now on in this transaction, since it has decided by that. If another transaction adds
        it meanwhile, an insert here loses the race, and the transaction is run again."""
        self._absent.add(model_id)

    def get(self, model_id: str) -> Model | None:
        """Return the model under this id."""
        if model_id in self._absent:
            return None
        row = self._connection.execute(select(MODELS).where(MODELS.c.id == model_id)).first()
        return snapshot(Model, row) if row else None

    def lock(self, model_id: str) -> Model | None:
        """Return the model under this id, locked."""
        query = select(MODELS).where(MODELS.c.id == model_id).with_for_update()
        row = self._connection.execute(query).first()
        return snapshot(Model, row) if row else None

    def put(self, model: Model) -> bool:
        """Add or change the model. Return False if nothing changed. Live sessions keep the terms they began with."""
        before = self.get(model.id)
        if before is None:
            self._connection.execute(insert(MODELS).values(**values_of(model)))
            self._absent.discard(model.id)
            return True
        changed = changes(before, model)
        if changed:
            self._connection.execute(update(MODELS).where(MODELS.c.id == model.id).values(**changed))
        return bool(changed)

    def listed(self) -> Sequence[Model]:
        """Return models by id."""
        return [
            snapshot(Model, row) for row in self._connection.execute(select(MODELS).order_by(MODELS.c.id))
        ]

    def currencies(self) -> Sequence[str]:
        """Return the currencies of all prices."""
        return list(self._connection.execute(select(MODELS.c.currency).distinct()).scalars())
