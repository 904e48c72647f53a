"""The Morpheus consumer node: on-chain sessions with ids, one wallet, and 500 for every trouble."""

import base64
from collections.abc import Mapping

from orchestrator.simulator import completions
from orchestrator.simulator.platform import Platform, Route, Target
from orchestrator.simulator.platforms import morpheus_chain as chain
from orchestrator.simulator.values import Upstream
from orchestrator.simulator.wire import Ask, Refusal, Reply, events
from orchestrator.simulator.world import Simulator


def _identify(_upstream: Upstream, headers: Mapping[str, str]) -> str | None:
    """Return the key, which is `user:password`."""
    scheme, _, encoded = headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        return base64.b64decode(encoded, validate=True).decode()
    except ValueError:
        return None


def _admit(ask: Ask) -> Reply | None:
    return None if ask.key in ask.upstream.keys else _unauthorized()


def _address(world: Simulator, ask: Ask) -> Target:
    match ask.operation:
        case "open":
            return Target(model=chain.model_asked(ask))
        case "close" | "status":
            return _about(world, ask.named["id"])
        case "chat":
            return _about(world, ask.headers.get("session_id"))
        case _:
            return Target()


def _about(world: Simulator, session_id: str | None) -> Target:
    session = world.sessions.get(session_id) if session_id else None
    return Target(session=session_id, model=session.model if session else None)


def _chat(world: Simulator, ask: Ask) -> Reply:
    """Answer a chat. An error after the stream has begun is an event with status 200."""
    fault = completions.find_fault(ask)
    if fault is not None:
        return chain.error(fault.message, status=400)
    trouble = _trouble(world, ask)
    if trouble:
        return _failed(ask, trouble)
    session = world.sessions.get(ask.session or "")
    model = ask.upstream.model(session.model) if session else None
    return completions.complete(ask, model, world.clock()) if model else _failed(ask, "model not configured")


def _trouble(world: Simulator, ask: Ask) -> str | None:
    session = chain.known(world, ask.upstream, ask.session)
    if session is None:
        return "session not found"
    texts = {None: None, "expired": "session expired", "dead": "provider is not responding"}
    return texts.get(session.closed_by, "session already closed")


def _failed(ask: Ask, text: str) -> Reply:
    if ask.streams and chain.options_of(ask.upstream).errors_as_events:
        return events([{"error": {"message": text}}])
    return chain.error(text)


def _refuse(refusal: Refusal) -> Reply:
    text = f"{refusal.code}: {refusal.message}" if refusal.code else refusal.message
    return chain.error(text, status=refusal.status)


def _unauthorized() -> Reply:
    return chain.error("Unauthorized", status=401)


def _not_found() -> Reply:
    return Reply(status=404, chunks=(b"404 page not found",), content_type="text/plain")


def _gone(_ask: Ask) -> Reply:
    return chain.error("session not found")


def _close_fails(_world: Simulator, _ask: Ask) -> Reply:
    return chain.error("failed to close session: execution reverted")


PLATFORM = Platform(
    kind="morpheus-node",
    base_path="",
    options=chain.Options,
    routes=(
        Route(method="POST", path="/blockchain/models/{id}/session", operation="open", handle=chain.open_one),
        Route(method="POST", path="/blockchain/bids/{id}/session", operation="open", handle=chain.open_one),
        Route(method="POST", path="/blockchain/sessions/{id}/close", operation="close", handle=chain.close),
        Route(method="GET", path="/blockchain/sessions/user", operation="list", handle=chain.list_all),
        Route(method="GET", path="/blockchain/sessions/{id}", operation="status", handle=chain.show),
        Route(method="GET", path="/blockchain/balance", operation="balance", handle=chain.balance),
        Route(method="POST", path="/v1/chat/completions", operation="chat", handle=_chat),
    ),
    identify=_identify,
    admit=_admit,
    address=_address,
    refuse=_refuse,
    unauthorized=_unauthorized,
    not_found=_not_found,
    gone=_gone,
    quirks={"close_fails": _close_fails},
)
