"""Hugging Face Inference Endpoints: a control API under a namespace, and the address of each endpoint."""

import re

from orchestrator.simulator import completions
from orchestrator.simulator.platform import Platform, Route, Target
from orchestrator.simulator.platforms.huggingface_hosting import SERVING, Hosted, Hosting, Options, at_path
from orchestrator.simulator.values import Model
from orchestrator.simulator.wire import Ask, Refusal, Reply, bearer
from orchestrator.simulator.world import Simulator

ENDPOINTS = "/v2/endpoint/{namespace}"
ADDRESS = "/endpoints/{host}/v1"
NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?")
REQUIRED = (
    "name",
    "type",
    "provider.vendor",
    "provider.region",
    "compute.accelerator",
    "compute.instanceType",
    "compute.instanceSize",
    "compute.scaling.minReplica",
    "compute.scaling.maxReplica",
    "model.repository",
    "model.framework",
    "model.image",
)


def _hosting(world: Simulator, ask: Ask) -> Hosting:
    return Hosting(world, ask.upstream)


def _admit(ask: Ask) -> Reply | None:
    assert isinstance(ask.upstream.options, Options)
    if ask.key not in ask.upstream.keys:
        return _refuse_at(ask, Refusal(status=401, message="Unauthorized"))
    if ask.named.get("namespace") in (None, ask.upstream.options.namespace):
        return None
    return _refuse(Refusal(status=403, message=f"Forbidden: namespace {ask.named['namespace']}"))


def _address(world: Simulator, ask: Ask) -> Target:
    one = _addressed(world, ask)
    if one is not None:
        return Target(session=one.session, model=one.model)
    model = at_path(ask.json, "model.repository") or ask.fields.get("model")
    return Target(model=model if isinstance(model, str) else None)


def _addressed(world: Simulator, ask: Ask) -> Hosted | None:
    hosting = _hosting(world, ask)
    if "host" in ask.named:
        return hosting.at(ask.named["host"])
    return hosting.find(ask.named["name"]) if "name" in ask.named else None


def _list(world: Simulator, ask: Ask) -> Reply:
    hosting = _hosting(world, ask)
    return Reply(payload={"items": [hosting.as_json(one, _origin(ask)) for one in hosting.listed()]})


def _show(world: Simulator, ask: Ask) -> Reply:
    one = _addressed(world, ask)
    return Reply(payload=_hosting(world, ask).as_json(one, _origin(ask))) if one else _gone(ask)


def _create(world: Simulator, ask: Ask) -> Reply:
    hosting = _hosting(world, ask)
    refusal = _wrong_with(hosting, ask)
    if refusal is not None:
        return _refuse(refusal)
    model = ask.upstream.model(str(at_path(ask.json, "model.repository")))
    assert model is not None
    made = hosting.create(ask.key or "", str(ask.fields["name"]), model.id, ask.fields)
    body = hosting.as_json(made, _origin(ask))
    return Reply(payload=body, effect=f"opened {made.session}", session=made.session)


def _wrong_with(hosting: Hosting, ask: Ask) -> Refusal | None:
    """Return what is wrong with a create, if anything."""
    missing = [path for path in REQUIRED if at_path(ask.json, path) in (None, "")]
    if missing:
        return Refusal(status=422, message=f"missing field `{missing[0]}`")
    name, repository = str(ask.fields["name"]), str(at_path(ask.json, "model.repository"))
    if not NAME.fullmatch(name):
        return Refusal(status=400, message="name: at most 32 lower case letters, digits and dashes")
    if hosting.find(name) is not None:
        return Refusal(status=409, message=f"Conflict: endpoint {name} already exists")
    if ask.upstream.model(repository) is None:
        return Refusal(status=400, message=f"Repository {repository} not found")
    compute = [
        at_path(ask.json, f"compute.{part}") for part in ("accelerator", "instanceType", "instanceSize")
    ]
    if compute[1] not in hosting.options.instance_types:
        return Refusal(status=400, message=f"Instance compute {compute} not found")
    if hosting.options.quota is not None and len(hosting.shown()) >= hosting.options.quota:
        return Refusal(status=403, message="Quota exceeded: request more of this instance type")
    return None


def _delete(world: Simulator, ask: Ask) -> Reply:
    hosting, one = _hosting(world, ask), _addressed(world, ask)
    if one is None or one.deleted_at is not None:
        return _gone(ask)
    ran = hosting.delete(one)
    return Reply(status=202, effect=f"closed {one.session}" if ran else None, session=one.session)


def _models(world: Simulator, ask: Ask) -> Reply:
    model, trouble = _serving(world, ask)
    if model is None:
        return trouble
    return Reply(payload={"object": "list", "data": [{"id": model.id, "object": "model"}]})


def _chat(world: Simulator, ask: Ask) -> Reply:
    model, trouble = _serving(world, ask)
    if model is None:
        return trouble
    fault = completions.find_fault(ask)
    if fault is None and ask.upstream.model(ask.fields["model"]) is not model:
        fault = _no_model(ask)
    return _refuse_at(ask, fault) if fault else completions.complete(ask, model, world.clock())


def _serving(world: Simulator, ask: Ask) -> tuple[Model | None, Reply]:
    """Return the model of an endpoint that serves, or the proxy's refusal. A request wakes an endpoint at zero."""
    one = _addressed(world, ask)
    if one is None:
        return None, _refuse(Refusal(status=404, message="Endpoint not found"))
    state, one.used_at = _hosting(world, ask).state(one), world.clock()
    if state in ("paused", "failed"):
        return None, _refuse(Refusal(status=400, message="Bad Request: Invalid state"))
    if state not in SERVING:
        return None, _refuse(Refusal(status=503, message="Service Unavailable: the replica is initializing"))
    return ask.upstream.model(one.model), _gone(ask)


def _no_model(ask: Ask) -> Refusal:
    message = f"The model `{ask.fields.get('model')}` does not exist."
    return Refusal(status=404, message=message, type="NotFoundError", code="model_not_found")


def _origin(ask: Ask) -> str:
    return f"http://{ask.headers.get('Host', 'localhost')}"


def _refuse_at(ask: Ask, refusal: Refusal) -> Reply:
    """Return an error in the words of the server in the container, or of the control API."""
    return refusal.as_openai() if ask.path.startswith("/endpoints/") else _refuse(refusal)


def _refuse(refusal: Refusal) -> Reply:
    return Reply(status=refusal.status, payload={"error": refusal.message})


def _unauthorized() -> Reply:
    return _refuse(Refusal(status=401, message="Unauthorized"))


def _not_found() -> Reply:
    return _refuse(Refusal(status=404, message="Not Found"))


def _gone(ask: Ask) -> Reply:
    if ask.path.startswith("/endpoints/"):
        return _refuse_at(ask, _no_model(ask))
    return _refuse(Refusal(status=404, message=f"Endpoint {ask.named.get('name', '')} not found"))


PLATFORM = Platform(
    kind="huggingface",
    base_path="",
    options=Options,
    routes=(
        Route(method="GET", path=ENDPOINTS, operation="list", handle=_list),
        Route(method="POST", path=ENDPOINTS, operation="create", handle=_create),
        Route(method="GET", path=f"{ENDPOINTS}/{{name}}", operation="status", handle=_show),
        Route(method="DELETE", path=f"{ENDPOINTS}/{{name}}", operation="close", handle=_delete),
        Route(method="GET", path=f"{ADDRESS}/models", operation="models", handle=_models),
        Route(method="POST", path=f"{ADDRESS}/chat/completions", operation="chat", handle=_chat),
    ),
    identify=lambda _upstream, headers: bearer(headers),
    admit=_admit,
    address=_address,
    refuse=_refuse,
    refuse_at=_refuse_at,
    unauthorized=_unauthorized,
    not_found=_not_found,
    gone=_gone,
)
