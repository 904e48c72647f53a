"""The Morpheus gateway: sessions without ids in the calls, because the API key is the slot."""

from collections.abc import Mapping

from orchestrator.simulator import completions
from orchestrator.simulator.platform import Platform, Route, Target
from orchestrator.simulator.platforms import morpheus_sessions as sessions
from orchestrator.simulator.values import Upstream
from orchestrator.simulator.wire import Ask, Refusal, Reply, bearer, events
from orchestrator.simulator.world import Simulator

BASE_PATH = "/api/v1"
#: the platform's own names for the types of models
TYPES = {"ASR": "STT", "VLM": "LLM"}


def _identify(_upstream: Upstream, headers: Mapping[str, str]) -> str | None:
    return bearer(headers)


def _admit(ask: Ask) -> Reply | None:
    if sessions.options_of(ask.upstream).retired and ask.path.startswith(f"{BASE_PATH}/session/"):
        return _not_found()
    return None if ask.key in ask.upstream.keys else _unauthorized()


def _address(world: Simulator, ask: Ask) -> Target:
    match ask.operation:
        case "open":
            return Target(model=_model_to_open(ask))
        case "ping_native" | "close":
            active = world.sessions.active(ask.upstream.name, ask.key or "")
            return Target(session=active.id, model=active.model) if active else Target()
        case "chat":
            return Target(session=_chat_session(world, ask), model=_chat_model(ask))
        case _:
            return Target()


def _model_to_open(ask: Ask) -> str | None:
    if "bid_id" not in ask.query:
        return _name_of(ask.upstream, ask.query.get("model_id"))
    model = sessions.model_of_bid(ask.upstream, ask.query["bid_id"])
    return model.id if model else None


def _chat_session(world: Simulator, ask: Ask) -> str | None:
    named = ask.fields.get("session_id")
    if isinstance(named, str):
        return named
    active = world.sessions.active(ask.upstream.name, ask.key or "")
    return active.id if active else None


def _chat_model(ask: Ask) -> str | None:
    reference = ask.fields.get("model")
    return _name_of(ask.upstream, reference) if isinstance(reference, str) else None


def _name_of(upstream: Upstream, reference: str | None) -> str | None:
    model = upstream.model(reference) if reference else None
    return model.id if model else reference


def _models(_world: Simulator, ask: Ask) -> Reply:
    data = [
        {
            "id": model.name or model.id,
            "blockchainID": model.blockchain_id,
            "modelType": TYPES.get(model.type, model.type),
            "tags": [],
        }
        for model in ask.upstream.models
    ]
    return Reply(payload={"data": data})


def _chat(world: Simulator, ask: Ask) -> Reply:
    """Answer a chat. Where the caller asks for a stream, errors are events with status 200."""
    fault = completions.find_fault(ask)
    if fault is not None:
        return sessions.invalid("value_error", ["body", fault.param or "body"], fault.message)
    trouble = _trouble(world, ask)
    if trouble:
        return _failed(ask, trouble)
    model = ask.upstream.model(_served_model(world, ask)) or ask.upstream.models[0]
    return completions.complete(ask, model, world.clock())


def _served_model(world: Simulator, ask: Ask) -> str:
    """Return the session's model, whatever the body names."""
    session = world.sessions.get(ask.session) if ask.session else None
    return session.model if session else ask.model or ""


def _trouble(world: Simulator, ask: Ask) -> str | None:
    retired = sessions.options_of(ask.upstream).retired
    if ask.session is None:
        return None if retired and ask.upstream.models else "session not found"
    session = world.sessions.get(ask.session)
    if session is None or (session.upstream, session.key) != (ask.upstream.name, ask.key):
        return "session not found"
    texts = {None: None, "expired": "session expired", "dead": "provider is not responding"}
    return texts.get(session.closed_by, "session not found")


def _failed(ask: Ask, text: str) -> Reply:
    message = f"{sessions.ROUTER} {text}"
    if ask.streams:
        return events([{"error": {"message": message, "type": "server_error"}}])
    return sessions.detail(500, message)


def _refuse(refusal: Refusal) -> Reply:
    if refusal.status != 402:
        return sessions.detail(refusal.status, refusal.message)
    error = {"type": "insufficient_balance", "message": refusal.message}
    return Reply(status=402, payload={"error": error})


def _unauthorized() -> Reply:
    return sessions.detail(401, "Invalid API key")


def _not_found() -> Reply:
    return sessions.detail(404, "Not Found")


def _only_by_post(_world: Simulator, _ask: Ask) -> Reply:
    """Answer as the gateway's framework answers a method that a known path does not take."""
    return sessions.detail(405, "Method Not Allowed")


def _gone(ask: Ask) -> Reply:
    match ask.operation:
        case "ping_native":
            return sessions.pinged("no_session", "No active session found")
        case "close":
            return sessions.closed(None, "No active session to close")
        case _:
            return _failed(ask, "session not found")


PLATFORM = Platform(
    kind="morpheus",
    base_path=BASE_PATH,
    options=sessions.Options,
    routes=(
        Route(method="POST", path="/session/modelsession", operation="open", handle=sessions.open_model),
        Route(method="POST", path="/session/bidsession", operation="open", handle=sessions.open_bid),
        Route(method="POST", path="/session/pingsession", operation="ping_native", handle=sessions.ping),
        Route(method="POST", path="/session/closesession", operation="close", handle=sessions.close_active),
        Route(method="GET", path="/session/closesession", operation="look", handle=_only_by_post),
        Route(method="GET", path="/models", operation="models", handle=_models),
        Route(method="POST", path="/chat/completions", operation="chat", handle=_chat),
    ),
    identify=_identify,
    admit=_admit,
    address=_address,
    refuse=_refuse,
    unauthorized=_unauthorized,
    not_found=_not_found,
    gone=_gone,
    quirks={
        "probe_fails": sessions.probe_fails,
        "close_fails": sessions.close_fails,
        "fails_below": sessions.fails_below,
    },
)
