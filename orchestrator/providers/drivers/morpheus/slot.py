"""The one session of a Morpheus gateway key: the three calls addressed by the key, and the meaning of their answers."""

from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.providers.http.client import Call, HttpClient
from orchestrator.providers.port.answers import Response
from orchestrator.providers.port.driver import Auth, Closed, Order, Probe, Secret, Target
from orchestrator.providers.port.errors import CallsRetired, NotClosed, OutcomeUnknown, ProviderFull
from orchestrator.providers.port.faults import (
    Rule,
    describe,
    limits_whole_key,
    read_fault,
    says_expired,
    verdict_of,
)
from orchestrator.providers.shared.lifecycle import ask_changing, ask_reading, may_have_happened, refusal
from orchestrator.rules.values import Verdict

#: Seconds: the gateway refuses or ignores shorter sessions.
SHORTEST_SECONDS = 300

#: The native ping's statuses; anything else is a fault of the gateway.
_NATIVE = {
    "alive": Verdict.ALIVE,
    "dead": Verdict.GONE,
    "expired": Verdict.GONE,
    "no_session": Verdict.GONE,
}


class Slot:
    """Sends the calls that are addressed by the key, each on a connection of its own."""

    def __init__(self, http: HttpClient, base_url: str, tries_below: int) -> None:
        self._http = http
        self._base_url = base_url.rstrip("/")
        self._tries_below = tries_below

    async def open(self, order: Order, model_id: str, timeout_seconds: float) -> str:
        """Open or adopt, and return the session's id. Raises what `Driver.open` may raise."""
        bid = order.options.get("bid_id")
        path, params = (
            ("bidsession", {"bid_id": str(bid)}) if bid else ("modelsession", {"model_id": model_id})
        )
        body = {
            "sessionDuration": asked_seconds(order),
            "directPayment": bool(order.options.get("direct_payment", False)),
            "failover": bool(order.options.get("failover", False)),
        }
        answer = await self._post(path, order.secret, timeout_seconds, params=params, json=body)
        return _opened(answer, self._tries_below)

    async def close(self, secret: Secret | None, timeout_seconds: float) -> Closed:
        """Close whichever session the key has. Raises NotClosed if the gateway says that it did not."""
        return _closed(await self._post("closesession", secret, timeout_seconds))

    async def ping(self, secret: Secret | None, timeout_seconds: float) -> Response:
        """Send the gateway's own ping, which closes the session on any failure."""
        return await self._post("pingsession", secret, timeout_seconds)

    async def look(self, secret: Secret | None, timeout_seconds: float) -> None:
        """Find out whether the calls exist. A GET changes nothing: 405 where they do, unknown where they do not.
        Raises CallsRetired, CredentialRefused or NotSent."""
        call = Call(
            method="GET",
            url=f"{self._base_url}/session/closesession",
            timeout_seconds=timeout_seconds,
            auth=Auth.BEARER,
            secret=secret,
        )
        answer = _offered(await ask_reading(self._http, call))
        if answer.status in (401, 403):
            raise refusal(answer)

    async def _post(
        self, path: str, secret: Secret | None, timeout_seconds: float, **content: Any
    ) -> Response:
        call = Call(
            method="POST",
            url=f"{self._base_url}/session/{path}",
            timeout_seconds=timeout_seconds,
            auth=Auth.BEARER,
            secret=secret,
            fresh=True,
            **content,
        )
        return _offered(await ask_changing(self._http, call))


def asked_seconds(order: Order) -> int:
    return max(SHORTEST_SECONDS, order.duration_seconds)


def says_no_session(answer: Response) -> bool:
    return answer.status == 200 and _body(answer).get("status") == "no_session"


def native_probe(answer: Response, target: Target, rules: Sequence[Rule] = ()) -> Probe:
    """Return the native ping's answer as a verdict; `rules` give the meaning of errors of the call itself."""
    body = _body(answer)
    verdict, foreign = _NATIVE.get(str(body.get("status")), Verdict.TRANSIENT), None
    if answer.status != 200:
        verdict = verdict_of(answer, rules)
    elif verdict is Verdict.ALIVE and body.get("session_id") not in (None, target.handle):
        verdict, foreign = Verdict.GONE, str(body["session_id"])  # ours was displaced by another session
    alive = verdict is Verdict.ALIVE
    return Probe(
        verdict=verdict,
        latency_ms=answer.elapsed_ms,
        detail="" if alive else describe(answer),
        retry_after_seconds=None if alive else answer.retry_after_seconds,
        whole_key=verdict is Verdict.THROTTLED and limits_whole_key(answer, rules),
        expired=verdict is Verdict.GONE and (body.get("status") == "expired" or says_expired(answer)),
        foreign_handle=foreign,
    )


def _offered(answer: Response) -> Response:
    if answer.status == 404:
        raise CallsRetired(f"session endpoints are retired here: {describe(answer)}")
    return answer


def _opened(answer: Response, tries_below: int) -> str:
    body = _body(answer)
    session_id = body.get("session_id")
    if (
        200 <= answer.status < 300
        and body.get("success") is not False
        and isinstance(session_id, str)
        and session_id
    ):
        return session_id
    if "no bids available" in read_fault(answer).text.lower():
        raise ProviderFull(describe(answer))
    if answer.status >= 500:  # the gateway retries by itself: each try may have opened a session on the chain
        own = (
            answer.status == 500 and not answer.is_html
        )  # else it stands in front, and the gateway may continue
        raise OutcomeUnknown(describe(answer), possible_orphans=True, at_most=tries_below, answered=own)
    if may_have_happened(answer):
        raise OutcomeUnknown(describe(answer))
    raise refusal(answer)


def _closed(answer: Response) -> Closed:
    body = _body(answer)
    session_id = body.get("session_id", "what the key had")
    if answer.status == 200 and body.get("success") is True and isinstance(session_id, str | None):
        if session_id is None:
            return Closed(proof="the gateway had no active session", nothing_was_open=True)
        return Closed(proof=f"the gateway closed {session_id}", closed_handle=body.get("session_id"))
    if may_have_happened(answer):
        raise NotClosed(describe(answer))
    raise refusal(answer)


def _body(answer: Response) -> Mapping[str, Any]:
    return answer.json if isinstance(answer.json, Mapping) else {}
