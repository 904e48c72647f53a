"""Sessions that another party opens and ends: we are given the endpoint, ping it, and watch for its end.

No call of ours ends such a session. The proof of its end is its declared end, by our own clock, or the endpoint's own
answer that it is gone. An operator may also confirm it, outside this driver."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import assert_never

from orchestrator.providers.chat.ping import Dialect, Pinger
from orchestrator.providers.drivers.fpt.options import FptOptions, chat_base
from orchestrator.providers.http.client import HttpClient
from orchestrator.providers.port.card import Card
from orchestrator.providers.port.driver import (
    Auth,
    Closed,
    Endpoint,
    Life,
    Listed,
    NotPlaced,
    Order,
    Placed,
    Probe,
    Secret,
    Status,
    Target,
)
from orchestrator.providers.port.errors import (
    CannotAsk,
    CredentialRefused,
    LacksSecret,
    Misconfigured,
    ModelMissing,
    NotClosed,
    OutOfBalance,
    Refused,
)
from orchestrator.rules.values import Attach, Verdict

_ANNOUNCED = (
    "the wanted stop was announced; FPT has no public control API: an operator stops it in the console and "
    "confirms with `orchestrator session close --operator --confirm`"
)


class AttachDriver:
    """A driver for endpoints by reference; their secrets come with each order and target."""

    def __init__(self, name: str, card: Card, options: FptOptions, http: HttpClient) -> None:
        self.name = name
        self.card = card
        self._options = options
        self._pinger = Pinger(http)
        self._dialect = Dialect(
            rules=options.ping_rules, most_tokens=options.ping_most_tokens, looks=options.looks
        )

    async def open(self, order: Order) -> Placed:
        """Probe the endpoint once. One that may come alive is placed, and its first good ping is the proof."""
        placed = self._placed(order)
        if placed.ends_at is not None and placed.ends_at <= (order.now or datetime.now(UTC)):
            raise Refused(f"the declared end has passed: {placed.ends_at:%Y-%m-%d %H:%M:%S} UTC")
        if order.secret is None and placed.endpoint.secret_ref is not None:
            raise LacksSecret(
                f"this worker lacks the secret {placed.endpoint.secret_ref}: set it where workers run"
            )
        probe = await self.probe(self._first_look(order, placed.endpoint))
        refusal = _refusal(probe)
        if refusal is not None:
            refusal.probe = probe
            raise refusal
        return replace(placed, probe=probe)

    async def resolve(self, order: Order, *, close: bool) -> Placed | NotPlaced:
        """Return the placement without asking: it was open before. It is adopted even to be closed, for its end needs a
        proof."""
        return self._placed(order) if close else await self.open(order)

    async def probe(self, target: Target) -> Probe:
        if target.endpoint is None:
            detail = "no endpoint was attached"
            return Probe(verdict=Verdict.MISCONFIGURED, latency_ms=0, detail=detail)
        return await self._pinger.probe(target, target.endpoint, self._dialect)

    async def status(self, target: Target) -> Status:
        if _has_ended(target):
            return Status(life=Life.STOPPED, detail="its declared end has passed", ends_at=target.ends_at)
        return Status(life=Life.UNKNOWN, detail="only a ping shows life", ends_at=target.ends_at)

    async def close(self, target: Target) -> Closed:
        if _has_ended(target):
            return Closed(proof=f"its declared end has passed: {target.ends_at}", closed_handle=target.handle)
        said = await self._last_look(target)
        if said is not None and said.verdict is Verdict.GONE:
            proof = f"the endpoint says that it is gone: {said.detail}"
            return Closed(proof=proof, closed_handle=target.handle, probe=said)
        unproven = NotClosed(_ANNOUNCED + (f" (the endpoint: {said.verdict} {said.detail})" if said else ""))
        unproven.probe = said
        raise unproven

    async def list(self, secret: Secret | None) -> Sequence[Listed]:
        raise CannotAsk(f"{self.name} has no list of sessions{f' for {secret.ref}' if secret else ''}")

    async def aclose(self) -> None:
        """Do nothing: the client is shared, and its builder closes it."""

    def _placed(self, order: Order) -> Placed:
        attach = _needed(order)
        url, auth = chat_base(attach.endpoint_url), self._options.endpoint_auth
        ref = None if auth is Auth.NONE else attach.secret_ref
        endpoint = Endpoint(url=url, model=attach.model, auth=auth, secret_ref=ref)
        return Placed(
            handle=order.placement_id,
            endpoint=endpoint,
            ends_at=attach.ends_at,
            note="attached by an operator",
        )

    def _first_look(self, order: Order, endpoint: Endpoint) -> Target:
        return Target(
            placement_id=order.placement_id,
            handle=order.placement_id,
            endpoint=endpoint,
            model=endpoint.model,
            model_type=order.model_type,
            secret=order.secret,
            timeout_seconds=self._options.read_timeout_seconds,
        )

    async def _last_look(self, target: Target) -> Probe | None:
        """Probe once more before the end is called proven. Return None if that is not configured, or where a missing
        secret would make a refusal look like an end."""
        if not self._options.probe_before_proof or target.endpoint is None or target.secret is None:
            return None
        return await self.probe(target)


def _refusal(probe: Probe) -> Refused | None:
    match probe.verdict:
        case Verdict.ALIVE | Verdict.THROTTLED | Verdict.LOADING | Verdict.TRANSIENT:
            return None
        case Verdict.GONE:
            return ModelMissing(probe.detail)
        case Verdict.CREDENTIALS:
            return CredentialRefused(probe.detail)
        case Verdict.OUT_OF_BALANCE:
            return OutOfBalance(probe.detail)
        case Verdict.MISCONFIGURED:
            return Misconfigured(probe.detail)
        case unknown:
            assert_never(unknown)


def _needed(order: Order) -> Attach:
    if order.attach is None:
        raise Misconfigured("sessions here are attached: the job must name an endpoint (`attach`)")
    return order.attach


def _has_ended(target: Target) -> bool:
    return target.ends_at is not None and target.ends_at <= (target.now or datetime.now(UTC))
