"""Put a model into the catalog, or change it. Admitted sessions keep their price."""

from collections.abc import Mapping
from typing import Any

from orchestrator.client.requests import PutModel
from orchestrator.flows.engine.services import Services
from orchestrator.flows.reports import views
from orchestrator.rules.refusals import ErrorCode, Refusal
from orchestrator.store.transaction import Transaction


def put_model(services: Services, tx: Transaction, request: PutModel) -> Mapping[str, Any]:
    """Create or change the model, and return it."""
    model = request.as_model()
    unknown = [provider for provider in model.providers if provider not in services.config.providers]
    if unknown:
        message = f"providers: {', '.join(unknown)} not configured; add [providers.{unknown[0]}] first"
        fault = {"loc": "providers", "msg": message, "type": "value"}
        raise Refusal(ErrorCode.INVALID_REQUEST, message, faults=[fault])
    if tx.models.get(model.id) != model:
        tx.models.put(model)
        tx.queues.wake_waiting_for_model(model.id, tx.now())
    return views.of_model(model)
