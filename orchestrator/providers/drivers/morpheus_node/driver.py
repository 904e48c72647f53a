"""Morpheus consumer node (proxy-router): on-chain sessions with ids, opened and closed by one wallet.

An error after the transaction was mined loses the id. So an open with an unknown outcome is resolved from the wallet's
list, and adopts only a session that no other order can have made."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Literal

from pydantic import Field

from orchestrator.providers.chat.ping import Dialect, Pinger, SessionName
from orchestrator.providers.drivers.morpheus_node.chain import (
    SHORTEST_SECONDS,
    Chain,
    ChainSession,
    asked_seconds,
)
from orchestrator.providers.drivers.morpheus_node.wallet import Wallet, WalletOptions
from orchestrator.providers.http.client import HttpClient
from orchestrator.providers.http.clock import monotonic
from orchestrator.providers.port.card import Card, IdentityCard, LifecycleCard, StatusCard
from orchestrator.providers.port.driver import (
    Auth,
    Balance,
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
    Misconfigured,
    NotClosed,
    NotSent,
    ProviderError,
)
from orchestrator.providers.port.faults import rule
from orchestrator.providers.shared.driver_type import DriverType
from orchestrator.providers.shared.lifecycle import closed_or_ended, finding_out, not_closed
from orchestrator.rules.text import numbered
from orchestrator.rules.values import Verdict

#: Seconds for a look at a session that was just opened: its id is not saved yet.
_LOOK = 5.0
_RULES = (rule(Verdict.GONE, (500,), r"SessionAlreadyClosed|session already closed"),)


class MorpheusNodeOptions(WalletOptions):
    direct_payment: bool = False
    failover: bool = False
    """The node's own, for orders that do not say; never ours."""
    close_policy: Literal["eager", "natural"] = "eager"
    natural_within_seconds: float = Field(default=900, ge=0)
    """`natural` leaves a session to its own end that is at most so far away: no stake is locked."""
    nonce_rest_seconds: float = Field(default=5, ge=0)
    """Before an open that met another transaction of the wallet is sent again; jittered by half."""


class MorpheusNodeDriver:
    """A driver for one node with its one wallet. The flows serialise its opens and closes, by its one credential."""

    def __init__(self, name: str, options: MorpheusNodeOptions, http: HttpClient) -> None:
        self.name = name
        self.card = card(options)
        self._options = options
        self.low_balance_below = options.low_balance_below
        self._chain = Chain(http, options.base_url, options.read_timeout_seconds)
        self._wallet = Wallet(self._chain, options)
        self._pinger = Pinger(http)
        self._dialect = Dialect(
            rules=(*options.rules, *_RULES),
            most_tokens=options.ping_most_tokens,
            looks=options.looks,
            streams=True,
        )

    async def open(self, order: Order) -> Placed:
        rest, timeout = self._options.nonce_rest_seconds, self._options.open_timeout_seconds
        began = monotonic()
        session_id = await self._chain.open(order, self._open_body(order), timeout, rest)
        left = (timeout - (monotonic() - began)) / 2  # this look must not cost the caller the id of the open
        return Placed(
            handle=session_id,
            endpoint=self._endpoint(order.model, order.secret),
            lasts_seconds=asked_seconds(order),
            note=f"chat completions there carry the header session_id: {session_id}",
            misconfigured=await self._wallet.misconfigured(session_id, order.secret, min(left, _LOOK)),
        )

    async def resolve(self, order: Order, *, close: bool) -> Placed | NotPlaced:
        """Find out what an open did. Never raise Refused: a node that refuses to list now may have opened before."""
        with finding_out(NotSent):
            found = await self._wallet.find(order, close=close)
            if isinstance(found, NotPlaced):
                return found
            if close:
                closed = [await self._close(one.id, order.secret) for one in found]
                ended = next((one.closed_handle for one in closed if one.closed_handle), None)
                return NotPlaced(proof="; ".join(one.proof for one in closed), ended_handle=ended)
            return self._adopted(order, found[0])

    async def probe(self, target: Target) -> Probe:
        endpoint = target.endpoint or self._endpoint(target.model, target.secret)
        named = SessionName(headers={"session_id": target.handle} if target.handle else {})
        return await self._pinger.probe(target, endpoint, self._dialect, named)

    async def status(self, target: Target) -> Status:
        if target.handle is None:
            return Status(life=Life.UNKNOWN, detail="there is no id to ask about")
        try:
            session, now = await self._chain.get(target.handle, target.secret)
        except ProviderError as error:
            return Status(life=Life.UNKNOWN, detail=str(error))
        if session is None:
            return Status(life=Life.GONE, detail="the node knows of no such session")
        ended = session.ended(now)
        return Status(
            life=Life.GONE if ended else Life.RUNNING,
            detail=ended or "",
            ends_at=session.ends_at,
            expired=ended is not None and session.closed_at is None,
        )

    async def close(self, target: Target) -> Closed:
        if target.handle is None:
            raise NotClosed("the session's id is not known: nothing can be addressed")
        with not_closed():
            if self._options.close_policy == "natural":
                return await self._close_naturally(target.handle, target.secret)
            return await self._close(target.handle, target.secret)

    async def check(self, secret: Secret | None) -> str:
        sessions, now = await self._wallet.sessions(secret)
        return f"{numbered(sum(one.ended(now) is None for one in sessions), 'session')} open"

    async def check_owner(self, handle: str, secret: Secret | None) -> str:
        session, _ = await self._chain.get(handle, secret)
        if session is None or not session.user:
            raise CannotAsk("the node does not name its owner")
        wrong = self._wallet.is_anothers(session)
        if wrong is not None:
            raise Misconfigured(wrong)
        return "the configured user's wallet"

    async def list(self, secret: Secret | None) -> Sequence[Listed]:
        sessions, now = await self._wallet.sessions(secret)
        return [
            Listed(handle=one.id, opened_at=one.opened_at, ends_at=one.ends_at)
            for one in sessions
            if one.ended(now) is None
        ]

    async def balance(self, secret: Secret | None) -> Balance:
        return Balance(amount=await self._chain.balance(secret), currency="MOR")

    async def aclose(self) -> None:
        """Do nothing: the client is shared, and its builder closes it."""

    async def _close_naturally(self, session_id: str, secret: Secret | None) -> Closed:
        seen, now = await self._chain.get(session_id, secret)
        end = _end(session_id, seen, now)
        if end is not None:
            return end
        if seen and seen.ends_at - now <= timedelta(seconds=self._options.natural_within_seconds):
            raise NotClosed(
                f"left to its own end at {seen.ends_at:%Y-%m-%d %H:%M:%S} UTC: no stake is locked"
            )
        return await self._close(session_id, secret)

    async def _close(self, session_id: str, secret: Secret | None) -> Closed:
        closing = self._chain.close(session_id, secret, self._options.close_call_seconds)
        return await closed_or_ended(closing, lambda _: self._seen_ended(session_id, secret))

    async def _seen_ended(self, session_id: str, secret: Secret | None) -> Closed:
        seen, now = await self._chain.get(session_id, secret)
        end = _end(session_id, seen, now)
        if end is None:
            raise NotClosed("the node still has it open")
        return end

    def _adopted(self, order: Order, session: ChainSession) -> Placed:
        endpoint = self._endpoint(order.model, order.secret)
        return Placed(
            handle=session.id,
            endpoint=endpoint,
            ends_at=session.ends_at,
            note="found by its list",
            misconfigured=self._wallet.is_anothers(session),
        )

    def _open_body(self, order: Order) -> dict[str, Any]:
        if order.options.get("bid_id"):
            return {"sessionDuration": asked_seconds(order)}
        return {
            "sessionDuration": asked_seconds(order),
            "directPayment": bool(order.options.get("direct_payment", self._options.direct_payment)),
            "failover": bool(order.options.get("failover", self._options.failover)),
        }

    def _endpoint(self, model: str, secret: Secret | None) -> Endpoint:
        url = self._options.url("/v1")
        return Endpoint(url=url, model=model, auth=Auth.BASIC, secret_ref=secret.ref if secret else None)


def _end(session_id: str, seen: ChainSession | None, now: datetime) -> Closed | None:
    """Return how the session ended, by the chain's record; None while it is live."""
    if seen is None:
        return Closed(proof="the node says session not found", nothing_was_open=True)
    ended = seen.ended(now)
    return Closed(proof=ended, closed_handle=session_id) if ended else None


def card(options: MorpheusNodeOptions) -> Card:
    return Card(
        lifecycle=LifecycleCard(
            closes_by_id=True,
            shortest_duration_seconds=SHORTEST_SECONDS,
            resolve_after_seconds=options.open_within_seconds + options.list_lag_seconds,
        ),
        identity=IdentityCard(needs_credential=True, serialised=True, wallet=options.user.lower()),
        status=StatusCard(can_list=True, can_ask=True),
    )


TYPE = DriverType(MorpheusNodeOptions, MorpheusNodeDriver, card)
