"""Sesterce AI inference: a control API for instances, and the endpoint of each of them."""

from collections.abc import Mapping

from orchestrator.simulator import completions
from orchestrator.simulator.platform import Platform, Route, Target
from orchestrator.simulator.platforms.sesterce_fleet import SERVING, Fleet, Instance, Options
from orchestrator.simulator.values import Model, Upstream
from orchestrator.simulator.wire import Ask, Refusal, Reply, bearer
from orchestrator.simulator.world import Simulator

INSTANCES = "/ai-inference/instances"
ENDPOINT = "/endpoints/{host}"
REQUIRED = ("modelId", "name", "hardwareName")


def _identify(_upstream: Upstream, headers: Mapping[str, str]) -> str | None:
    return headers.get("x-api-key") or bearer(headers)


def _admit(ask: Ask) -> Reply | None:
    known = _endpoint_admits(ask) if _at_endpoint(ask) else _control_admits(ask)
    if known:
        return None
    return _refuse_at(
        ask, Refusal(status=401, message="invalid secret" if _at_endpoint(ask) else "Unauthorized")
    )


def _control_admits(ask: Ask) -> bool:
    return ask.headers.get("x-api-key") in ask.upstream.keys


def _endpoint_admits(ask: Ask) -> bool:
    assert isinstance(ask.upstream.options, Options)
    options = ask.upstream.options
    given = {
        "bearer": (bearer(ask.headers),),
        "x-api-key": (ask.headers.get("x-api-key"),),
        "either": (bearer(ask.headers), ask.headers.get("x-api-key")),
    }[options.endpoint_auth]
    right = {options.endpoint_secret} if options.endpoint_secret else ask.upstream.keys
    return bool(right & set(given))


def _address(world: Simulator, ask: Ask) -> Target:
    reference = ask.named.get("id") or ask.named.get("host")
    instance = Fleet(world, ask.upstream).find(reference) if reference else None
    if instance is not None:
        return Target(session=instance.run if instance.runs else None, model=instance.model)
    model = ask.fields.get("modelId") or ask.fields.get("model")
    return Target(model=model if isinstance(model, str) else None)


def _list(world: Simulator, ask: Ask) -> Reply:
    fleet = Fleet(world, ask.upstream)
    return Reply(payload=[fleet.as_json(one, _origin(ask)) for one in fleet.listed()])


def _create(world: Simulator, ask: Ask) -> Reply:
    missing = [name for name in REQUIRED if not ask.fields.get(name)]
    if missing:
        return _refuse_at(ask, Refusal(status=400, message=f"{missing[0]} should not be empty"))
    model = ask.upstream.model(str(ask.fields["modelId"]))
    if model is None:
        return _refuse_at(ask, Refusal(status=404, message=f"Model {ask.fields['modelId']} not found"))
    fleet = Fleet(world, ask.upstream)
    hardware = str(ask.fields["hardwareName"])
    made = fleet.create(ask.key or "", str(ask.fields["name"]), model.id, hardware)
    body = {**fleet.as_json(made, _origin(ask)), "address": None}
    return Reply(status=201, payload=body, effect=f"opened {made.run}", session=made.run)


def _start(world: Simulator, ask: Ask) -> Reply:
    fleet, instance = _addressed(world, ask)
    if instance is None:
        return _gone(ask)
    run = fleet.run_of(instance)
    if run is not None and run.is_open:
        return _refuse_at(ask, Refusal(status=400, message="Instance is already started"))
    fleet.start(instance, ask.key or "")
    body = fleet.as_json(instance, _origin(ask))
    return Reply(payload=body, effect=f"opened {instance.run}", session=instance.run)


def _stop(world: Simulator, ask: Ask) -> Reply:
    fleet, instance = _addressed(world, ask)
    if instance is None:
        return _gone(ask)
    if not fleet.stop(instance):
        return _refuse_at(ask, Refusal(status=400, message="Instance is already stopped"))
    body = fleet.as_json(instance, _origin(ask))
    return Reply(payload=body, effect=f"closed {instance.run}", session=instance.run)


def _delete(world: Simulator, ask: Ask) -> Reply:
    fleet, instance = _addressed(world, ask)
    if instance is None:
        return _gone(ask)
    ran = fleet.delete(instance)
    return Reply(status=204, effect=f"closed {instance.run}" if ran else None, session=instance.run)


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
        return _gone(ask)
    if fault is None and model.hears:
        fault = Refusal(status=400, message="This is not a chat model")
    return _refuse_at(ask, fault) if fault else completions.complete(ask, model, world.clock())


def _transcribe(world: Simulator, ask: Ask) -> Reply:
    model, trouble = _serving(world, ask)
    if model is None:
        return trouble
    if not {"file", "model"} <= set(ask.form) or not model.hears:
        return _refuse_at(ask, Refusal(status=400, message="file and model are needed, and an ASR model"))
    named = ask.upstream.model(ask.form["model"].decode(errors="replace"))
    return completions.transcribe(ask) if named is model else _gone(ask)


def _serving(world: Simulator, ask: Ask) -> tuple[Model | None, Reply]:
    """Return the model of an endpoint that serves, or the refusal. A request wakes an endpoint that sleeps."""
    fleet, instance = _addressed(world, ask)
    status = fleet.status(instance) if instance else None
    if instance is None or status in (None, "DISABLED", "ERROR", "FAILED", "DELETING"):
        return None, _gone(ask)
    if status not in SERVING and not fleet.is_asleep(instance):
        return None, _refuse_at(ask, Refusal(status=503, message="no healthy upstream"))
    instance.used_at = world.clock()
    return ask.upstream.model(instance.model), _gone(ask)


def _addressed(world: Simulator, ask: Ask) -> tuple[Fleet, Instance | None]:
    fleet = Fleet(world, ask.upstream)
    return fleet, fleet.find(ask.named.get("id") or ask.named.get("host") or "")


def _origin(ask: Ask) -> str:
    return f"http://{ask.headers.get('Host', 'localhost')}"


def _at_endpoint(ask: Ask) -> bool:
    return ask.path.startswith("/endpoints/")


def _refuse_at(ask: Ask, refusal: Refusal) -> Reply:
    return refusal.as_openai() if _at_endpoint(ask) else _refuse(refusal)


def _refuse(refusal: Refusal) -> Reply:
    body = {"statusCode": refusal.status, "message": refusal.message}
    return Reply(status=refusal.status, payload=body)


def _unauthorized() -> Reply:
    return _refuse(Refusal(status=401, message="Unauthorized"))


def _not_found() -> Reply:
    return _refuse(Refusal(status=404, message="Cannot find this route"))


def _gone(ask: Ask) -> Reply:
    what = f"model {ask.fields.get('model') or ask.model or ''}".strip() if _at_endpoint(ask) else "Instance"
    return _refuse_at(ask, Refusal(status=404, message=f"{what} not found"))


PLATFORM = Platform(
    kind="sesterce",
    base_path="",
    options=Options,
    routes=(
        Route(method="GET", path=INSTANCES, operation="list", handle=_list),
        Route(method="POST", path=INSTANCES, operation="create", handle=_create),
        Route(method="POST", path=f"{INSTANCES}/{{id}}/start", operation="start", handle=_start),
        Route(method="POST", path=f"{INSTANCES}/{{id}}/stop", operation="close", handle=_stop),
        Route(method="DELETE", path=f"{INSTANCES}/{{id}}", operation="close", handle=_delete),
        Route(method="GET", path=f"{ENDPOINT}/v1/models", operation="models", handle=_models),
        Route(method="POST", path=f"{ENDPOINT}/v1/chat/completions", operation="chat", handle=_chat),
        Route(
            method="POST",
            path=f"{ENDPOINT}/v1/audio/transcriptions",
            operation="transcribe",
            handle=_transcribe,
        ),
    ),
    identify=_identify,
    admit=_admit,
    address=_address,
    refuse=_refuse,
    refuse_at=_refuse_at,
    unauthorized=_unauthorized,
    not_found=_not_found,
    gone=_gone,
)
