"""The cast of the play: two providers, their keys, the models and their prices."""

from collections.abc import Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Any

#: A Morpheus gateway, where a key carries one session, and an OpenAI-compatible server that is always on.
GATEWAY, ENDPOINT = "gateway", "endpoint"

#: Secrets by the environment variable that names them. The platform's configuration holds the names only.
GATEWAY_KEYS: Mapping[str, str] = MappingProxyType(
    {f"DEMO_GATEWAY_KEY_{n}": f"sk-demo-gateway-{n}" for n in range(1, 5)}
)
ENDPOINT_KEYS: Mapping[str, str] = MappingProxyType({"DEMO_ENDPOINT_KEY": "sk-demo-endpoint"})
SECRETS: Mapping[str, str] = MappingProxyType({**GATEWAY_KEYS, **ENDPOINT_KEYS})

LLAMA, QWEN, QWEN_BASE = "llama-3.3-70b", "qwen-2.5-7b", "qwen-2.5-7b-base"

CURRENCY = "USD"
PRICE_PER_NODE_HOUR = "36.00"
BLOCK_SECONDS = 1
#: What one node costs for one block.
PRICE_OF_BLOCK = Decimal(PRICE_PER_NODE_HOUR) * BLOCK_SECONDS / 3600


def models() -> list[dict[str, Any]]:
    """Return the catalog, as the job `model.put` takes it."""
    common = {"type": "LLM", "price_per_node_hour": PRICE_PER_NODE_HOUR, "currency": CURRENCY}
    tuned, base = "Instruction-tuned", "Pre-trained"
    return [
        common | {"id": LLAMA, "size": "70B", "learning_stage": tuned} | _at(GATEWAY, LLAMA),
        common | {"id": QWEN, "size": "7B", "learning_stage": tuned} | _at(ENDPOINT, QWEN),
        common | {"id": QWEN_BASE, "size": "7B", "learning_stage": base} | _at(ENDPOINT, QWEN_BASE),
    ]


def secret(reference: str | None) -> str | None:
    """Return the secret behind an endpoint's reference; None if it has none in the play."""
    return SECRETS.get((reference or "").removeprefix("env:"))


def _at(provider: str, model_id: str) -> dict[str, Any]:
    return {"provider": provider, "provider_model_id": model_id}
