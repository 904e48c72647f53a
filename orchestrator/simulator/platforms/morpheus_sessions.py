"""How a Morpheus gateway opens, pings and closes: one slot per API key, and no ids in the calls."""

from dataclasses import replace
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from orchestrator.simulator.values import Model, SimSession, Upstream
from orchestrator.simulator.wire import Ask, Reply
from orchestrator.simulator.world import Simulator

ROUTER = "Error from proxy router:"
#: How often the gateway tries by itself within one open.
TRIES = 3


class Options(BaseModel):
    """Settings of one gateway."""

    model_config = ConfigDict(extra="forbid")

    #: newer gateways have no session calls any more
    retired: bool = False
    #: seconds, where the caller asks for 0 or for nothing
    default_duration: float = Field(default=3600, gt=0)
    #: what an unknown model id falls back to; the first listed one unless given
    default_model: str | None = None
    #: bid id → model id; without any, every bid is one on the default model
    bids: dict[str, str] = Field(default_factory=dict)
    #: a native ping takes a session that is busy with a chat for dead
    busy_ping_kills: bool = True
    #: what the node has ended by itself stays with its key, and no close of it succeeds, until its time is over
    keeps_rows: bool = False


def options_of(upstream: Upstream) -> Options:
    assert isinstance(upstream.options, Options)
    return upstream.options


def _default_model(upstream: Upstream) -> Model | None:
    chosen = options_of(upstream).default_model
    return upstream.model(chosen) if chosen else next(iter(upstream.models), None)


def model_of_bid(upstream: Upstream, bid: str) -> Model | None:
    bids = options_of(upstream).bids
    return upstream.model(bids.get(bid, "")) if bids else _default_model(upstream)


def open_model(world: Simulator, ask: Ask) -> Reply:
    """Open a session. The same model again returns the same session; another model displaces the live one."""
    fault = _missing(ask, "model_id") or _bad_duration(ask)
    model = ask.upstream.model(ask.query.get("model_id", "")) or _default_model(ask.upstream)
    if fault or model is None:
        return fault or no_bids()
    active = world.sessions.active(ask.upstream.name, ask.key or "")
    if active and active.model == model.id:
        return _opened(active, effect=None, model=model.name or model.id)
    effects = []
    if active:
        world.sessions.end(active.id, "displaced")
        effects.append(f"displaced {active.id}")
    session = _start(world, ask, model)
    return _opened(
        session, effect=", ".join([*effects, f"opened {session.id}"]), model=model.name or model.id
    )


def open_bid(world: Simulator, ask: Ask) -> Reply:
    """Open a session by a bid. The key's previous session is not closed: it is lost, and stays open on the chain."""
    fault = _missing(ask, "bid_id") or _bad_duration(ask)
    model = model_of_bid(ask.upstream, ask.query.get("bid_id", ""))
    if fault or model is None:
        return fault or no_bids()
    effects = []
    active = world.sessions.active(ask.upstream.name, ask.key or "")
    if active:
        world.sessions.leak(active.id)
        effects.append(f"leaked {active.id}")
    session = _start(world, ask, model)
    return _opened(session, effect=", ".join([*effects, f"opened {session.id}"]))


def _start(world: Simulator, ask: Ask, model: Model) -> SimSession:
    seconds = ask.fields.get("sessionDuration") or options_of(ask.upstream).default_duration
    return world.sessions.open(upstream=ask.upstream.name, key=ask.key or "", model=model.id, seconds=seconds)


def _opened(session: SimSession, *, effect: str | None, **more: str) -> Reply:
    body = {
        "success": True,
        "message": "Session created successfully",
        "session_id": session.id,
        "api_key_prefix": session.key[:9],
        **more,
    }
    return Reply(payload=body, effect=effect, session=session.id)


def _missing(ask: Ask, name: str) -> Reply | None:
    return None if ask.query.get(name) else invalid("missing", ["query", name], "Field required")


def _bad_duration(ask: Ask) -> Reply | None:
    asked = ask.fields.get("sessionDuration", 0)
    if isinstance(asked, bool) or not isinstance(asked, int):
        return invalid("int_type", ["body", "sessionDuration"], "Input should be a valid integer")
    if asked < 0:
        return detail(500, f"{ROUTER} invalid session duration")
    return None


def ping(world: Simulator, ask: Ask) -> Reply:
    """Ping the session, and end it whenever anything is wrong with it. A healthy session that is busy is ended too."""
    held = world.sessions.held(ask.upstream.name, ask.key or "")
    if held is None:
        return pinged("no_session", "No active session found")
    if not held.is_open:
        world.sessions.release(held.upstream, held.key)
        status = "expired" if held.closed_by == "expired" else "dead"
        return pinged(status, f"Session is {status} and has been closed", session_id=held.id)
    busy = world.calls.running(upstream=held.upstream, operation="chat", session=held.id)
    if busy and options_of(ask.upstream).busy_ping_kills:
        return _kill(world, held)
    return pinged("alive", "Session is alive and responding", session_id=held.id)


def probe_fails(world: Simulator, ask: Ask) -> Reply:
    """Fail the ping's own completion, and end the session for it."""
    held = world.sessions.active(ask.upstream.name, ask.key or "")
    return _kill(world, held) if held else ping(world, ask)


def close_fails(world: Simulator, ask: Ask) -> Reply:
    """Leave the session open; a native ping says "has been closed" anyway."""
    if ask.operation != "ping_native":
        return detail(500, f"Error closing session: {ROUTER} transaction failed")
    held = world.sessions.active(ask.upstream.name, ask.key or "")
    return _dead(held) if held else ping(world, ask)


def fails_below(world: Simulator, ask: Ask) -> Reply:
    """Open three sessions and fail: all are on the chain, and the gateway has lost track of them."""
    if ask.operation != "open":
        return ping(world, ask)
    model = ask.upstream.model(ask.query.get("model_id", "")) or _default_model(ask.upstream)
    if model is None:
        return no_bids()
    left = [_start(world, ask, model).id for _ in range(TRIES)]
    for session_id in left:
        world.sessions.leak(session_id)
    world.sessions.release(ask.upstream.name, ask.key or "")
    answer = detail(500, f"{ROUTER} failed to initiate session")
    return replace(answer, effect=f"leaked {', '.join(left)}")


def _kill(world: Simulator, session: SimSession) -> Reply:
    world.sessions.end(session.id, "ping")
    world.sessions.release(session.upstream, session.key)
    return replace(_dead(session), effect=f"closed {session.id}")


def _dead(session: SimSession) -> Reply:
    text = "Session is dead and has been closed"
    return pinged("dead", text, session_id=session.id, error="Session did not respond to ping")


def pinged(status: str, message: str, **more: str) -> Reply:
    body = {"status": status, "message": message, "success": status == "alive", **more}
    return Reply(payload=body, session=more.get("session_id"))


def close_active(world: Simulator, ask: Ask) -> Reply:
    active = world.sessions.active(ask.upstream.name, ask.key or "")
    held = world.sessions.held(ask.upstream.name, ask.key or "")
    if active is None and held and options_of(ask.upstream).keeps_rows and held.ends_at > world.clock():
        return detail(500, f"Error closing session: {ROUTER} execution reverted")
    world.sessions.release(ask.upstream.name, ask.key or "")
    if active is None:
        return closed(None, "No active session to close")
    world.sessions.end(active.id, "client")
    return closed(active.id, "Session closed successfully", effect=f"closed {active.id}")


def closed(session: str | None, message: str, effect: str | None = None) -> Reply:
    body = {"success": True, "message": message, "session_id": session}
    return Reply(payload=body, session=session, effect=effect)


def no_bids() -> Reply:
    return detail(500, f"{ROUTER} Internal server error: no bids available")


def detail(status: int, text: str) -> Reply:
    """Return the platform's usual error body."""
    return Reply(status=status, payload={"detail": text})


def invalid(kind: str, where: list[str], text: str, given: Any = None) -> Reply:
    """Return the platform's answer to a request that lacks something."""
    return Reply(status=422, payload={"detail": [{"type": kind, "loc": where, "msg": text, "input": given}]})
