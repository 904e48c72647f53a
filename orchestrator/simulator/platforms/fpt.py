"""A studio for interactive sessions: endpoints that live and end, and a plain JSON control API.

A session opened through the API has an endpoint of its own, with its id in the address. The address without an
id serves sessions started in a console: each key is one, its clock running from the first call.
"""

from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from orchestrator.simulator import completions
from orchestrator.simulator.platform import Platform, Route, Target
from orchestrator.simulator.values import Model, SimSession, Upstream
from orchestrator.simulator.wire import Ask, Refusal, Reply, bearer
from orchestrator.simulator.world import Simulator

BASE_PATH = "/aiam/v1"
LONGEST_NAME = 100


class Options(BaseModel):
    """Settings of one studio."""

    model_config = ConfigDict(extra="forbid")

    #: seconds that a session from the console lives; None: for ever, and it is no session on record
    console_seconds: float | None = Field(default=None, gt=0)
    #: how an endpoint answers after the end of its session
    ended_says: Literal["not_found", "unauthorized", "unavailable"] = "not_found"
    #: the same name again is the same session; otherwise a conflict
    idempotent: bool = True


def _options(upstream: Upstream) -> Options:
    assert isinstance(upstream.options, Options)
    return upstream.options


def _admit(ask: Ask) -> Reply | None:
    return None if ask.key in ask.upstream.keys else _unauthorized()


def _address(world: Simulator, ask: Ask) -> Target:
    """Return what the request addresses: some requests by an id, others by a model's name."""
    if "id" in ask.named:
        session = _known(world, ask, ask.named["id"])
        return Target(
            session=session.id if session else ask.named["id"], model=session.model if session else None
        )
    if ask.operation == "chat":
        held = world.sessions.held(ask.upstream.name, ask.key or "")
        return Target(session=held.id if held else None, model=_model_named(ask))
    return Target(model=_model_named(ask))


def _model_named(ask: Ask) -> str | None:
    reference = ask.fields.get("model")
    model = ask.upstream.model(reference) if isinstance(reference, str) else None
    return model.id if model else reference if isinstance(reference, str) else None


def _open(world: Simulator, ask: Ask) -> Reply:
    name, model = ask.fields.get("name"), ask.upstream.model(ask.fields.get("model") or "")
    if not isinstance(name, str) or not 0 < len(name) <= LONGEST_NAME:
        return _refuse(Refusal(status=400, message="name is required, with at most 100 characters"))
    if model is None:
        return _refuse(Refusal(status=404, message=f"model {ask.fields.get('model')} not found"))
    live = next((one for one in world.sessions.open_now() if _is(one, ask, name)), None)
    if live is not None:
        if not _options(ask.upstream).idempotent:
            return _refuse(Refusal(status=409, message=f"the name {name} is taken"))
        return Reply(payload=_written(ask, live), session=live.id)
    return _started(world, ask, model, name)


def _started(world: Simulator, ask: Ask, model: Model, name: str) -> Reply:
    seconds = ask.fields.get("duration_seconds") or 3600
    session = world.sessions.open(
        upstream=ask.upstream.name, key=ask.key or "", model=model.id, seconds=float(seconds), label=name
    )
    body = _written(ask, session)
    return Reply(status=201, payload=body, effect=f"opened {session.id}", session=session.id)


def _show(world: Simulator, ask: Ask) -> Reply:
    session = _known(world, ask, ask.named["id"])
    return Reply(payload=_written(ask, session)) if session else _gone(ask)


def _close(world: Simulator, ask: Ask) -> Reply:
    session = _known(world, ask, ask.named["id"])
    if session is None:
        return _gone(ask)
    if not session.is_open:
        return Reply(payload=_written(ask, session), effect=f"closed before {session.id}", session=session.id)
    ended = world.sessions.end(session.id, "client")
    return Reply(payload=_written(ask, ended), effect=f"closed {session.id}", session=session.id)


def _list(world: Simulator, ask: Ask) -> Reply:
    mine = [one for one in world.sessions.all() if (one.upstream, one.key) == (ask.upstream.name, ask.key)]
    items = [_written(ask, one) for one in mine if one.closed_by != "forgotten"]
    return Reply(payload={"data": {"items": items, "total": len(items)}})


def _chat(world: Simulator, ask: Ask) -> Reply:
    fault = completions.find_fault(ask)
    if fault is not None:
        return _refuse(fault)
    session = _serving(world, ask)
    if session is not None and not session.is_open:
        return _ended(ask)
    if "id" in ask.named and session is None:
        return _gone(ask)
    model = ask.upstream.model(session.model if session else ask.model or "")
    if model is None:
        return _refuse(Refusal(status=404, message=f"model {ask.model} not found", code="model_not_found"))
    return completions.complete(ask, model, world.clock())


def _serving(world: Simulator, ask: Ask) -> SimSession | None:
    """Return the session behind the address. A key's console session begins with its first call."""
    if "id" in ask.named:
        return _known(world, ask, ask.named["id"])
    seconds = _options(ask.upstream).console_seconds
    model = ask.upstream.model(ask.model or "")
    if seconds is None or model is None:
        return None
    held = world.sessions.held(ask.upstream.name, ask.key or "")
    if held is not None:
        return held
    return world.sessions.open(upstream=ask.upstream.name, key=ask.key or "", model=model.id, seconds=seconds)


def _known(world: Simulator, ask: Ask, reference: str) -> SimSession | None:
    """Return the session with this id, or the newest of this name, unless it was forgotten."""
    fitting = [
        one
        for one in world.sessions.all()
        if (one.id == reference and one.upstream == ask.upstream.name) or _is(one, ask, reference)
    ]
    known = [one for one in fitting if one.closed_by != "forgotten"]
    return known[-1] if known else None


def _is(session: SimSession, ask: Ask, name: str) -> bool:
    return (session.upstream, session.key, session.label) == (ask.upstream.name, ask.key, name)


def _written(ask: Ask, session: SimSession) -> dict[str, Any]:
    url = f"http://{ask.headers['Host']}/{ask.upstream.name}{BASE_PATH}/sessions/{session.id}"
    return {
        "data": {
            "id": session.id,
            "name": session.label,
            "status": "Running"
            if session.is_open
            else "Failed"
            if session.closed_by == "dead"
            else "Stopped",
            "endpoint": {"url": f"{url}/chat/completions", "model": session.model},
            "createdAt": datetime.fromtimestamp(session.opened_at, UTC).isoformat(),
            "endsAt": datetime.fromtimestamp(session.ends_at, UTC).isoformat(),
        }
    }


def _ended(ask: Ask) -> Reply:
    match _options(ask.upstream).ended_says:
        case "unauthorized":
            return _unauthorized()
        case "unavailable":
            return _refuse(Refusal(status=503, message="Service Unavailable"))
        case _:
            return _gone(ask)


def _refuse(refusal: Refusal) -> Reply:
    body = {"message": refusal.message, "code": refusal.code, "type": refusal.type, "param": refusal.param}
    return Reply(status=refusal.status, payload={"error": body})


def _unauthorized() -> Reply:
    return _refuse(Refusal(status=401, message="Invalid or expired token", code="unauthorized"))


def _not_found() -> Reply:
    return _refuse(Refusal(status=404, message="no route matched"))


def _gone(ask: Ask) -> Reply:
    message = f"session {ask.session or ''} not found"
    return _refuse(Refusal(status=404, message=message, code="session_not_found"))


PLATFORM = Platform(
    kind="fpt",
    base_path=BASE_PATH,
    options=Options,
    routes=(
        Route(method="POST", path="/sessions", operation="open", handle=_open),
        Route(method="GET", path="/sessions", operation="list", handle=_list),
        Route(method="GET", path="/sessions/{id}", operation="status", handle=_show),
        Route(method="DELETE", path="/sessions/{id}", operation="close", handle=_close),
        Route(method="POST", path="/sessions/{id}/chat/completions", operation="chat", handle=_chat),
        Route(method="POST", path="/chat/completions", operation="chat", handle=_chat),
    ),
    identify=lambda _upstream, headers: bearer(headers),
    admit=_admit,
    address=_address,
    refuse=_refuse,
    unauthorized=_unauthorized,
    not_found=_not_found,
    gone=_gone,
)
