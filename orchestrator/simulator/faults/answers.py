"""Faults of the answer: errors, refusals and nonsense."""

from collections.abc import Mapping
from dataclasses import replace
from email.utils import formatdate
from typing import Any, Literal

from orchestrator.simulator.faults.turn import HeaderText, Seconds, Status, Turn
from orchestrator.simulator.wire import Refusal, Reply, events

BALANCE = "You've run out of credits. Please top up your balance."
UNKNOWN_ID = "0x" + "ee" * 32


def gone(turn: Turn) -> Reply:
    """Answer that the model or session does not exist; change nothing."""
    return turn.platform.gone(turn.ask)


def expired(turn: Turn) -> Reply:
    """End the session now. On a platform without sessions, only say that it expired."""
    session = turn.world.sessions.get(turn.ask.session) if turn.ask.session else None
    if session is None or not session.is_open:
        return turn.refuse(Refusal(status=400, message="session expired", code="session_expired"))
    turn.world.end_session(session.id, "expired")
    done = turn.perform()
    return replace(done, effect=", ".join(filter(None, [f"expired {session.id}", done.effect])))


def throttled(
    turn: Turn,
    *,
    retry_after: float | HeaderText | None = None,
    style: Literal["seconds", "date"] = "seconds",
    text: str = "Rate limit reached",
) -> Reply:
    """Answer 429; `retry_after` is in seconds, or any text verbatim, or absent; `text` says what is limited."""
    refusal = Refusal(status=429, message=text, type="requests", code="rate_limit_exceeded")
    return replace(turn.refuse(refusal), headers=_retry_after(turn, retry_after, style))


def _retry_after(turn: Turn, retry_after: float | str | None, style: str) -> dict[str, str]:
    if retry_after is None:
        return {}
    if isinstance(retry_after, str):
        return {"Retry-After": retry_after}
    if style == "date":
        return {"Retry-After": formatdate(turn.world.clock() + retry_after, usegmt=True)}
    return {"Retry-After": f"{retry_after:g}"}


def error_before(turn: Turn, *, text: str = "Internal Server Error") -> Reply:
    """Answer 500 without performing the request."""
    return turn.refuse(Refusal(status=500, message=text, type="server_error"))


def error_after_effect(turn: Turn, *, text: str = "Internal Server Error") -> Reply:
    """Perform the request, then answer 500."""
    return turn.instead(error_before(turn, text=text), effect=True)


def loading(turn: Turn, *, estimated_time: Seconds = 20, retry_after: Seconds | None = None) -> Reply:
    """Answer 503: the model is being loaded into memory."""
    payload = {"error": f"Model {turn.ask.model} is currently loading", "estimated_time": estimated_time}
    return Reply(status=503, payload=payload, headers=_retry_after(turn, retry_after, "seconds"))


def wrong_id(turn: Turn, *, session_id: str = UNKNOWN_ID) -> Reply:
    """Perform the request, and answer with the id of another session."""
    done = turn.perform()
    if not isinstance(done.payload, dict):
        return done
    ids = {name: session_id for name in done.payload if name.lower().replace("_", "") == "sessionid"}
    return replace(done, payload={**done.payload, **ids})


def unauthorized(turn: Turn) -> Reply:
    """Answer 401 for a key that was good a moment ago."""
    return turn.platform.unauthorized()


def forbidden(turn: Turn, *, text: str = "You are not allowed to do this") -> Reply:
    """Answer 403 for a reason other than money."""
    return turn.refuse(Refusal(status=403, message=text, code="forbidden"))


def out_of_balance(turn: Turn, *, status: Literal[400, 402, 403, 429] = 402, text: str = BALANCE) -> Reply:
    """Answer that the balance is used up, with any of the statuses that platforms use for it."""
    refusal = Refusal(status=status, message=text, type="insufficient_quota", code="insufficient_quota")
    return turn.refuse(refusal)


def html(turn: Turn, *, status: Status = 502, title: str = "Bad Gateway") -> Reply:  # noqa: ARG001
    """Answer with a proxy's error page."""
    page = f"<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>"
    return Reply(status=status, chunks=(page.encode(),), content_type="text/html", garbled=True)


def invalid_json(turn: Turn, *, status: Status = 200, effect: bool = True) -> Reply:
    """Perform the request, and answer with a body that is not JSON."""
    return turn.instead(Reply(status=status, chunks=(b'{"oops": ',), garbled=True), effect=effect)


def error_in_200(turn: Turn, *, text: str = "upstream error", code: str | None = None) -> Reply:
    """Answer with an error under status 200, as JSON or as an event."""
    error = {"error": {"message": text, "type": "server_error", "param": None, "code": code}}
    if turn.ask.streams:
        return replace(events([error]), garbled=True)
    return Reply(payload=error, garbled=True)


def empty_choices(turn: Turn) -> Reply:
    """Answer with a completion that has no choices."""
    payload = turn.perform().payload
    payload = payload if isinstance(payload, dict) else {}
    nothing = {"prompt_tokens": 1, "completion_tokens": 0, "total_tokens": 1}
    return Reply(payload={**payload, "choices": [], "usage": nothing})


def empty_list(turn: Turn) -> Reply:
    """Answer with an empty list, whatever exists."""
    done = turn.perform()
    return replace(done, payload=_emptied(done.payload))


def _emptied(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: 0 if key == "total" else _emptied(below) for key, below in value.items()}
    return [] if isinstance(value, list) else value


def redirect(turn: Turn, *, location: HeaderText, status: Literal[301, 302, 303, 307, 308] = 307) -> Reply:  # noqa: ARG001
    """Redirect, perhaps to a host that must not see the key."""
    return Reply(status=status, headers={"Location": location})


def no_bids(turn: Turn) -> Reply:
    """Answer that there is no offer of the model at the moment."""
    text = "Error from proxy router: Internal server error: no bids available"
    return turn.refuse(Refusal(status=500, message=text, type="server_error"))


def fails_below(turn: Turn) -> Reply:
    """Fail after several attempts of the platform's own, and leave open what they opened."""
    text = "Error from proxy router: failed to initiate session"
    return turn.quirk("fails_below") or turn.refuse(Refusal(status=500, message=text))


def close_fails(turn: Turn) -> Reply:
    """Fail the close. The session stays open and must be closed again."""
    text = "Error closing session: transaction failed"
    return turn.quirk("close_fails") or turn.refuse(Refusal(status=500, message=text))


def probe_fails(turn: Turn) -> Reply:
    """Let the platform's own ping find the session dead."""
    return turn.quirk("probe_fails") or turn.refuse(Refusal(status=500, message="session did not respond"))


def status(
    turn: Turn,
    *,
    status: Status,
    body: Any = None,
    headers: Mapping[HeaderText, HeaderText] | None = None,
    effect: bool = False,
) -> Reply:
    """Answer with any status, body and headers."""
    return turn.instead(Reply(status=status, payload=body, headers=headers or {}), effect=effect)
