"""AIMLAPI: OpenAI's format around its own list of models, key check, balance and error bodies."""

import uuid
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from orchestrator.simulator import completions
from orchestrator.simulator.platform import Platform, Route, Target
from orchestrator.simulator.values import Model, Upstream
from orchestrator.simulator.wire import Ask, Refusal, Reply, bearer
from orchestrator.simulator.world import Simulator


class Options(BaseModel):
    """The state of the account behind the keys."""

    model_config = ConfigDict(extra="forbid")

    balance: float = 100
    currency: str = "USD"
    #: dollars for each ping and chat
    price: str = "0.0000042"
    disabled_keys: frozenset[str] = frozenset()
    #: key → dollars it may spend in a month
    limits: dict[str, float] = Field(default_factory=dict)
    #: key → dollars it has spent this month
    spent: dict[str, float] = Field(default_factory=dict)
    #: other names of a model
    aliases: dict[str, list[str]] = Field(default_factory=dict)
    #: models that answer 400 to a system message
    no_system: frozenset[str] = frozenset()
    #: `statusCode` is a string in some error bodies
    status_as_text: bool = False
    #: an upstream's 400 comes back as a 500 with its text
    wraps_upstream_errors: bool = False


def _options(upstream: Upstream) -> Options:
    assert isinstance(upstream.options, Options)
    return upstream.options


def _identify(_upstream: Upstream, headers: Mapping[str, str]) -> str | None:
    return bearer(headers)


def _admit(ask: Ask) -> Reply | None:
    if ask.operation == "models" or ask.key in ask.upstream.keys:
        return None
    return _unauthorized_at(ask)


def _address(_world: Simulator, ask: Ask) -> Target:
    reference = ask.fields.get("model")
    if ask.operation == "transcribe":
        reference = ask.form.get("model", b"").decode(errors="replace")
    if not isinstance(reference, str) or not reference:
        return Target()
    listed = _listed(ask.upstream, reference)
    return Target(model=listed.id if listed else reference)


def _models(_world: Simulator, ask: Ask) -> Reply:
    aliases = _options(ask.upstream).aliases
    data = [
        {"id": model.id, "type": "chat-completion", "aliases": aliases.get(model.id, [])}
        for model in ask.upstream.models
    ]
    return Reply(payload={"object": "list", "data": data})


def _key(_world: Simulator, ask: Ask) -> Reply:
    key, options = ask.key or "", _options(ask.upstream)
    limit = {"retention": "month", "threshold": options.limits[key]} if key in options.limits else None
    data = {
        "name": "simulated",
        "prefix": key[:8],
        "scopes": None,
        "disabled": key in options.disabled_keys,
        "limit": limit,
        "monthly_usage": options.spent.get(key, 0),
    }
    return Reply(payload={"data": data})


def _billing(_world: Simulator, ask: Ask) -> Reply:
    options = _options(ask.upstream)
    return Reply(payload={"current_balance": options.balance, "currency": options.currency})


def _chat(world: Simulator, ask: Ask) -> Reply:
    trouble = _trouble(ask)
    if trouble is not None:
        return _refuse_at(ask, trouble)
    fault, model = completions.find_fault(ask), _listed(ask.upstream, ask.model or "")
    if fault is not None:
        return _refuse_at(ask, replace(fault, message=f"Body validation error! {fault.message}"))
    if model is None:
        return _gone(ask)
    if model.hears or _dislikes_system(ask, model):
        return _upstreams_400(ask, "This model does not accept these messages")
    done = completions.complete(ask, model, world.clock())
    return replace(done, headers=_spent(ask))


def _transcribe(_world: Simulator, ask: Ask) -> Reply:
    trouble = _trouble(ask)
    if trouble is not None:
        return _refuse_at(ask, trouble)
    if not {"file", "model"} <= set(ask.form):
        return _refuse_at(ask, Refusal(status=400, message="Body validation error!"))
    model = _listed(ask.upstream, ask.model or "")
    if model is None:
        return _gone(ask)
    if not model.hears:
        return _upstreams_400(ask, "This model cannot transcribe")
    return replace(completions.transcribe(ask), headers=_spent(ask))


def _trouble(ask: Ask) -> Refusal | None:
    """Return why a well-formed request is refused: its key, the key's limit, or the balance."""
    key, options = ask.key or "", _options(ask.upstream)
    if key in options.disabled_keys:
        return Refusal(status=403, message="The API key is disabled")
    if options.balance <= 0 or options.spent.get(key, 0) >= options.limits.get(key, float("inf")):
        return Refusal(status=403, message="You've run out of credits. Please top up your balance.")
    return None


def _dislikes_system(ask: Ask, model: Model) -> bool:
    roles = {message.get("role") for message in ask.fields["messages"] if isinstance(message, dict)}
    return model.id in _options(ask.upstream).no_system and "system" in roles


def _upstreams_400(ask: Ask, text: str) -> Reply:
    if _options(ask.upstream).wraps_upstream_errors:
        return _refuse_at(ask, Refusal(status=500, message=f"400 Bad Request: {text}"))
    return _refuse_at(ask, Refusal(status=400, message=text))


def _listed(upstream: Upstream, reference: str) -> Model | None:
    aliases = _options(upstream).aliases
    meant = next((name for name, others in aliases.items() if reference in others), reference)
    return upstream.model(meant)


def _spent(ask: Ask) -> dict[str, str]:
    return {"x-aimlapi-usd-spent": _options(ask.upstream).price, "x-aimlapi-credits-used": "8"}


def _refuse_at(ask: Ask, refusal: Refusal) -> Reply:
    status: int | str = refusal.status
    body: dict[str, Any] = {
        "message": refusal.message,
        "path": ask.path,
        "requestId": uuid.uuid4().hex,
        "statusCode": str(status) if _options(ask.upstream).status_as_text else status,
        "timestamp": datetime.now(UTC).isoformat(),
    }
    return Reply(status=refusal.status, payload=body)


def _refuse(refusal: Refusal) -> Reply:
    return Reply(status=refusal.status, payload={"message": refusal.message, "statusCode": refusal.status})


def _unauthorized_at(ask: Ask) -> Reply:
    return _refuse_at(ask, Refusal(status=401, message="Invalid API key"))


def _unauthorized() -> Reply:
    return _refuse(Refusal(status=401, message="Invalid API key"))


def _not_found() -> Reply:
    return _refuse(Refusal(status=404, message="Cannot find this route"))


def _gone(ask: Ask) -> Reply:
    return _refuse_at(ask, Refusal(status=404, message=f"Model {ask.model} not found"))


PLATFORM = Platform(
    kind="aimlapi",
    base_path="/v1",
    options=Options,
    routes=(
        Route(method="GET", path="/models", operation="models", handle=_models),
        Route(method="GET", path="/key", operation="key", handle=_key),
        Route(method="POST", path="/chat/completions", operation="chat", handle=_chat),
        Route(method="POST", path="/audio/transcriptions", operation="transcribe", handle=_transcribe),
    ),
    rooted_routes=(Route(method="GET", path="/v2/billing", operation="billing", handle=_billing),),
    identify=_identify,
    admit=_admit,
    address=_address,
    refuse=_refuse,
    refuse_at=_refuse_at,
    unauthorized=_unauthorized,
    not_found=_not_found,
    gone=_gone,
)
