"""Which models a trial gives another price."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from orchestrator.flows.reports.views import as_text
from orchestrator.rules.refusals import ErrorCode, Refusal
from orchestrator.store.transaction import Transaction


def repriced(tx: Transaction, prices: Mapping[str, Decimal]) -> list[dict[str, Any]]:
    """Return each model's old and new price. Raises Refusal(unknown_model)."""
    found = []
    for model_id, price in sorted(prices.items()):
        model = tx.models.get(model_id)
        if model is None:
            raise Refusal(ErrorCode.UNKNOWN_MODEL, f"model {model_id} is unknown", model_id=model_id)
        key = f"models.{model_id}.price_per_node_hour"
        found.append({"key": key, "old": as_text(model.price_per_node_hour), "new": as_text(price)})
    return found
