"""An always-on server that speaks OpenAI's format: vLLM, LiteLLM, llama.cpp and their like."""

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict

from orchestrator.simulator import completions
from orchestrator.simulator.platform import Platform, Route, Target
from orchestrator.simulator.values import Model, Upstream
from orchestrator.simulator.wire import Ask, Refusal, Reply, bearer
from orchestrator.simulator.world import Simulator


class Options(BaseModel):
    """How callers authenticate."""

    model_config = ConfigDict(extra="forbid")

    auth: Literal["bearer", "x-api-key", "both", "none"] = "bearer"


def _auth(upstream: Upstream) -> str:
    assert isinstance(upstream.options, Options)
    return upstream.options.auth


def _identify(upstream: Upstream, headers: Mapping[str, str]) -> str | None:
    token, key = bearer(headers), headers.get("x-api-key")
    match _auth(upstream):
        case "bearer":
            return token
        case "x-api-key":
            return key
        case "both":
            return token if token == key else None
        case _:
            return token or key


def _admit(ask: Ask) -> Reply | None:
    known = _auth(ask.upstream) == "none" or ask.key in ask.upstream.keys
    return None if known else _unauthorized()


def _address(_world: Simulator, ask: Ask) -> Target:
    reference = ask.fields.get("model")
    if ask.operation == "transcribe":
        reference = ask.form.get("model", b"").decode(errors="replace")
    if not isinstance(reference, str) or not reference:
        return Target()
    listed = ask.upstream.model(reference)
    return Target(model=listed.id if listed else reference)


def _models(world: Simulator, ask: Ask) -> Reply:
    created = int(world.clock())
    data = [
        {"id": model.id, "object": "model", "created": created, "owned_by": ask.upstream.name}
        for model in ask.upstream.models
    ]
    return Reply(payload={"object": "list", "data": data})


def _chat(world: Simulator, ask: Ask) -> Reply:
    fault = completions.find_fault(ask)
    if fault is not None:
        return fault.as_openai()
    model = _listed(ask)
    if model is None:
        return _gone(ask)
    if model.hears:
        return Refusal(status=400, message="This is not a chat model", param="model").as_openai()
    return completions.complete(ask, model, world.clock())


def _transcribe(_world: Simulator, ask: Ask) -> Reply:
    missing = next((name for name in ("file", "model") if name not in ask.form), None)
    if missing:
        return Refusal(status=400, message=f"{missing} is required", param=missing).as_openai()
    model = _listed(ask)
    if model is None:
        return _gone(ask)
    if not model.hears:
        return Refusal(status=400, message="This model cannot transcribe", param="model").as_openai()
    return completions.transcribe(ask)


def _listed(ask: Ask) -> Model | None:
    return ask.upstream.model(ask.model or "")


def _unauthorized() -> Reply:
    message = "Incorrect API key provided."
    return Refusal(status=401, message=message, code="invalid_api_key").as_openai()


def _not_found() -> Reply:
    return Refusal(status=404, message="Invalid URL").as_openai()


def _gone(ask: Ask) -> Reply:
    message = f"The model `{ask.model}` does not exist or you do not have access to it."
    return Refusal(status=404, message=message, code="model_not_found", param="model").as_openai()


PLATFORM = Platform(
    kind="openai",
    base_path="/v1",
    options=Options,
    routes=(
        Route(method="GET", path="/models", operation="models", handle=_models),
        Route(method="POST", path="/chat/completions", operation="chat", handle=_chat),
        Route(method="POST", path="/audio/transcriptions", operation="transcribe", handle=_transcribe),
    ),
    identify=_identify,
    admit=_admit,
    address=_address,
    refuse=Refusal.as_openai,
    unauthorized=_unauthorized,
    not_found=_not_found,
    gone=_gone,
)
