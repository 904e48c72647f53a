"""The chain behind a Morpheus node: stakes, sessions, and the numbers that order transactions."""

import hashlib
from email.utils import formatdate
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from orchestrator.simulator.values import Model, SimSession, Upstream
from orchestrator.simulator.wire import Ask, Reply
from orchestrator.simulator.world import Simulator

SHORTEST = 300
LIFECYCLE = frozenset({"open", "close"})


class Options(BaseModel):
    """Settings of one node."""

    model_config = ConfigDict(extra="forbid")

    #: the wallet's address
    user: str = "0x" + "ab" * 20
    #: bid id → model id; without any, every bid is one on the first model
    bids: dict[str, str] = Field(default_factory=dict)
    #: how keys of sessions are written: as in the node's code, or as in its documentation
    casing: Literal["code", "camel", "lower"] = "code"
    #: a young session is missing from lists for this long
    list_lag_seconds: float = Field(default=0, ge=0)
    #: trouble with a streamed chat comes as an event with status 200
    errors_as_events: bool = False
    #: gateways that open on the same chain: a caller who names a session of theirs sees it
    chain_of: list[str] = Field(default_factory=list)
    #: wei, and what each live session locks of them
    mor: int = 10**24
    stake: int = 10**18


def options_of(upstream: Upstream) -> Options:
    assert isinstance(upstream.options, Options)
    return upstream.options


def known(world: Simulator, upstream: Upstream, session_id: str | None) -> SimSession | None:
    """Return the session, unless the node has forgotten it or never had it."""
    session = world.sessions.get(session_id) if session_id else None
    if session is None or session.upstream != upstream.name or session.closed_by == "forgotten":
        return None
    return session


def model_asked(ask: Ask) -> str | None:
    """Return the model that an open names, by itself or through a bid."""
    model = _wanted(ask)
    return model.id if model else ask.named["id"]


def open_one(world: Simulator, ask: Ask) -> Reply:
    """Open a new session each time: opens on a chain are not idempotent."""
    refused = _refused(world, ask)
    if refused:
        return refused
    model = _wanted(ask)
    if model is None:
        return error("no bids available")
    session = world.sessions.open(
        upstream=ask.upstream.name,
        key=ask.key or "",
        model=model.id,
        seconds=ask.fields["sessionDuration"],
        label=_bid(ask, model),
    )
    return Reply(payload={"sessionID": session.id}, effect=f"opened {session.id}", session=session.id)


def close(world: Simulator, ask: Ask) -> Reply:
    if _contended(world, ask):
        return error("failed to close session: nonce too low")
    session = known(world, ask.upstream, ask.named["id"])
    if session is None:
        return _already(ask, "session not found")
    if not session.is_open and session.closed_by != "expired":
        return _already(ask, "failed to close session: execution reverted: SessionAlreadyClosed")
    if session.is_open:
        world.sessions.end(session.id, "client")
    transaction = "0x" + hashlib.sha256(session.id.encode()).hexdigest()
    return Reply(payload={"tx": transaction}, effect=f"closed {session.id}", session=session.id)


def show(world: Simulator, ask: Ask) -> Reply:
    session = known(world, ask.upstream, ask.named["id"]) or _of_a_gateway(world, ask)
    if session is None:
        return error("session not found")
    return Reply(payload={"session": _written(ask.upstream, session)}, headers=_date(world))


def list_all(world: Simulator, ask: Ask) -> Reply:
    """List the wallet's sessions, ended ones too. The limit is one byte, and a larger number wraps."""
    if ask.query.get("user", "").lower() != options_of(ask.upstream).user.lower():
        return Reply(payload={"sessions": []})
    offset, limit = int(ask.query.get("offset", 0)), int(ask.query.get("limit", 10)) % 256
    oldest_first = [one for one in world.sessions.all() if _is_listed(world, ask.upstream, one)]
    ordered = oldest_first if ask.query.get("order") == "asc" else oldest_first[::-1]
    page = ordered[offset : offset + limit]
    return Reply(payload={"sessions": [_written(ask.upstream, one) for one in page]}, headers=_date(world))


def balance(world: Simulator, ask: Ask) -> Reply:
    return Reply(payload={"mor": str(_free(world, ask.upstream)), "eth": str(10**18)})


def error(text: str, *, status: int = 500) -> Reply:
    """Return the node's only form of an error body."""
    return Reply(status=status, payload={"error": text})


def _of_a_gateway(world: Simulator, ask: Ask) -> SimSession | None:
    session = world.sessions.get(ask.named["id"])
    return session if session and session.upstream in options_of(ask.upstream).chain_of else None


def _refused(world: Simulator, ask: Ask) -> Reply | None:
    if _contended(world, ask):
        return error("failed to open session: nonce too low")
    seconds = ask.fields.get("sessionDuration")
    if isinstance(seconds, bool) or not isinstance(seconds, int):
        return error("sessionDuration is required", status=400)
    if seconds < SHORTEST:
        return error("execution reverted: SessionTooShort")
    if _free(world, ask.upstream) < options_of(ask.upstream).stake:
        return error("execution reverted: ERC20: transfer amount exceeds balance")
    return None


def _contended(world: Simulator, ask: Ask) -> bool:
    """Return whether an earlier transaction of the wallet is not mined yet."""
    running = world.calls.running(upstream=ask.upstream.name)
    return any(call.operation in LIFECYCLE and call.seq < ask.seq and not call.effect for call in running)


def _wanted(ask: Ask) -> Model | None:
    if "/bids/" not in ask.path:
        return ask.upstream.model(ask.named["id"])
    bids = options_of(ask.upstream).bids
    return (
        ask.upstream.model(bids.get(ask.named["id"], "")) if bids else next(iter(ask.upstream.models), None)
    )


def _bid(ask: Ask, model: Model) -> str:
    return (
        ask.named["id"]
        if "/bids/" in ask.path
        else "0x" + hashlib.sha256(f"bid {model.id}".encode()).hexdigest()
    )


def _already(ask: Ask, text: str) -> Reply:
    """Return an error that proves the close as well as a success does."""
    reply = error(text)
    return Reply(status=reply.status, payload=reply.payload, effect=f"closed before {ask.named['id']}")


def _is_listed(world: Simulator, upstream: Upstream, session: SimSession) -> bool:
    aged = world.clock() - session.opened_at >= options_of(upstream).list_lag_seconds
    return aged and known(world, upstream, session.id) is not None


def _free(world: Simulator, upstream: Upstream) -> int:
    live = sum(session.upstream == upstream.name for session in world.sessions.open_now())
    return options_of(upstream).mor - live * options_of(upstream).stake


def _written(upstream: Upstream, session: SimSession) -> dict[str, Any]:
    """Return the session as the node writes it. One that expired was never closed: only EndsAt shows its end."""
    expired = session.closed_by == "expired"
    closed, ends = (None, session.closed_at) if expired else (session.closed_at, session.ends_at)
    fields = {
        "Id": session.id,
        "User": options_of(upstream).user,
        "Provider": "0x" + "cd" * 20,
        "ModelAgentId": session.model,
        "BidID": session.label,
        "Stake": options_of(upstream).stake,
        "PricePerSecond": 10**12,
        "OpenedAt": int(session.opened_at),
        "EndsAt": int(ends or 0),
        "ClosedAt": int(closed or 0),
    }
    return {_cased(key, options_of(upstream).casing): value for key, value in fields.items()}


def _date(world: Simulator) -> dict[str, str]:
    """Return the node's own time, also where a test moves it by hand."""
    return {"Date": formatdate(world.clock(), usegmt=True)}


def _cased(key: str, casing: str) -> str:
    return {"code": key, "camel": key[0].lower() + key[1:], "lower": key.lower()}[casing]
