"""Morpheus gateway: one active session per API key, addressed by the key alone.

Opening another model closes the key's session, repeating the identical open returns it, and a close ends whichever
session the key has. So a fresh open begins with a close, and only a model open is resolved by repeating it."""

import asyncio
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from orchestrator.providers.chat.ping import Dialect, Pinger, SessionName
from orchestrator.providers.drivers.morpheus.options import MorpheusOptions, card
from orchestrator.providers.drivers.morpheus.slot import Slot, asked_seconds, native_probe, says_no_session
from orchestrator.providers.http.client import Call, HttpClient
from orchestrator.providers.http.clock import monotonic
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
    CallsRetired,
    CannotAsk,
    KeyNotFree,
    Misconfigured,
    ModelMissing,
    NotClosed,
    OutcomeUnknown,
    ProviderError,
    ProviderFull,
    failed_here_in,
)
from orchestrator.providers.shared.driver_type import DriverType
from orchestrator.providers.shared.lifecycle import ask_reading, finding_out, listed_models
from orchestrator.rules.text import numbered
from orchestrator.rules.values import Verdict

#: This many pings in a row must say that it is gone, before that is a proof.
_SIGHTS = 2


class MorpheusDriver:
    """A driver for one Morpheus gateway. Its credentials are exclusive, and the flows serialise their calls."""

    def __init__(self, name: str, options: MorpheusOptions, http: HttpClient) -> None:
        self.name = name
        self.card = card(options)
        self._options = options
        self._http = http
        self._slot = Slot(http, options.base_url, options.tries_below)
        self._pinger = Pinger(http)
        self._dialect = Dialect(
            rules=options.rules, most_tokens=options.ping_most_tokens, looks=options.looks
        )

    async def open(self, order: Order) -> Placed:
        until = _deadline(self._options.open_timeout_seconds, order.send_by)
        secret = _needed(order.secret)
        model_id = await self._model_id(order, secret)
        ended = await self._free(secret, until)
        if order.freed is not None:
            await order.freed()
        try:
            placed = await self._placed(order, model_id, until)
        except ProviderError as error:
            error.ended_handle = ended
            raise
        return replace(placed, ended_handle=ended)

    async def resolve(self, order: Order, *, close: bool) -> Placed | NotPlaced:
        """Find out what an open did. Raise a refusal only if there are no bids: a gateway that refuses now may have
        opened before."""
        with finding_out(ProviderFull):
            if close or order.options.get("bid_id"):
                closed = await self._close(_needed(order.secret), order.send_by)
                return NotPlaced(proof=closed.proof, ended_handle=closed.closed_handle)
            return await self._adopt(order)

    async def probe(self, target: Target) -> Probe:
        return await (self._native(target) if self._options.ping == "native" else self._chat(target))

    async def status(self, target: Target) -> Status:
        return Status(
            life=Life.UNKNOWN, detail=f"asking about {target.handle} could close it: only a ping shows life"
        )

    async def close(self, target: Target) -> Closed:
        until = _deadline(self._options.close_timeout_seconds, target.send_by)
        calls_until = _deadline(self._options.close_call_seconds, target.send_by)
        try:
            closed = await self._close(_needed(target.secret), calls_until)
        except NotClosed as error:
            return await self._seen_gone(target, error, until)
        except ProviderError as error:
            raise NotClosed(str(error)) from error
        if target.handle is None or closed.closed_handle in (None, target.handle):
            return closed
        said = f"{closed.proof}, which is not ours ({target.handle}): another user shares this key, ownership lost"
        return replace(closed, proof=said, foreign_handle=closed.closed_handle)

    async def list(self, secret: Secret | None) -> Sequence[Listed]:
        raise CannotAsk(f"{self.name} has no list of sessions{f' for {secret.ref}' if secret else ''}")

    async def check(self, secret: Secret | None) -> str:
        await self._slot.look(_needed(secret), self._options.read_timeout_seconds)
        return (
            f"{numbered(len(await self._listed(_needed(secret))), 'model')} listed, session calls are there"
        )

    async def lists(self, model: str, secret: Secret | None) -> str:
        return f"listed as {await self._listed_as(model, _needed(secret))}"

    async def aclose(self) -> None:
        """Do nothing: the client is shared, and its builder closes it."""

    async def _model_id(self, order: Order, secret: Secret) -> str:
        """Return the id to open. Look it up first: the gateway opens a default model, silently, for an id that it does
        not know."""
        return order.model if order.options.get("bid_id") else await self._listed_as(order.model, secret)

    async def _listed_as(self, model: str, secret: Secret) -> str:
        for entry in await self._listed(secret):
            names = (entry.get("blockchainID"), entry.get("id"), entry.get("name"))
            if entry.get("blockchainID") and model.lower() in {str(name).lower() for name in names}:
                return str(entry["blockchainID"])
        raise ModelMissing(f"{self.name} does not list the model {model}")

    async def _listed(self, secret: Secret) -> Sequence[Mapping[str, Any]]:
        call = Call(
            method="GET",
            url=self._options.url("/models"),
            timeout_seconds=self._options.read_timeout_seconds,
            most_bytes=self._options.max_list_bytes,
            auth=Auth.BEARER,
            secret=secret,
        )
        return listed_models(await ask_reading(self._http, call), self._options.rules)

    async def _free(self, secret: Secret, until: float) -> str | None:
        """Close a leftover session of the key, and return its id. It would be adopted with its earlier end, or leak
        under a bid open."""
        try:
            return (await self._close(secret, until, repeat_lost=False)).closed_handle
        except (NotClosed, OutcomeUnknown) as error:
            late = isinstance(error, OutcomeUnknown)
            raise KeyNotFree(f"not opened, as the key could not be freed: {error}", late=late) from error

    async def _close(self, secret: Secret, latest: float | None, *, repeat_lost: bool = True) -> Closed:
        """Close until it succeeds or nothing was active, within the timeout and a few attempts."""
        until = _deadline(self._options.close_timeout_seconds, latest)
        for _ in range(self._options.close_attempts - 1):
            try:
                return await self._slot.close(secret, until - monotonic())
            except NotClosed:
                pass
            except OutcomeUnknown:
                if not repeat_lost:
                    raise
            await asyncio.sleep(self._options.close_retry_seconds)
        return await self._slot.close(secret, until - monotonic())

    async def _adopt(self, order: Order) -> Placed:
        until = _deadline(self._options.open_timeout_seconds, order.send_by)
        return await self._placed(order, await self._model_id(order, _needed(order.secret)), until)

    async def _placed(self, order: Order, model_id: str, until: float) -> Placed:
        session_id = await self._slot.open(order, model_id, until - monotonic())
        return Placed(
            handle=session_id,
            endpoint=self._endpoint(order.model, order.secret),
            lasts_seconds=asked_seconds(order),
        )

    async def _chat(self, target: Target) -> Probe:
        endpoint = target.endpoint or self._endpoint(target.model, target.secret)
        named = SessionName(body={"session_id": target.handle} if target.handle else {})
        return await self._pinger.probe(target, endpoint, self._dialect, named)

    async def _native(self, target: Target) -> Probe:
        begun = monotonic()
        if target.begin_by is not None and begun > target.begin_by:
            return Probe(verdict=Verdict.TRANSIENT, latency_ms=0, detail="too late to begin", not_begun=True)
        try:
            answer = await self._slot.ping(target.secret, target.timeout_seconds)
            return native_probe(answer, target, self._options.rules)
        except CallsRetired as error:
            return await self._without_native(target, begun, str(error))
        except ProviderError as error:
            fault = failed_here_in(error)
            return Probe(
                verdict=Verdict.MISCONFIGURED if isinstance(error, Misconfigured) else Verdict.TRANSIENT,
                latency_ms=round((monotonic() - begun) * 1000),
                detail=str(error),
                not_begun=fault is not None,
                failed_here=fault,
            )

    async def _without_native(self, target: Target, begun: float, said: str) -> Probe:
        """Ping by chat if the native call is missing; that failure proves no death. The key's lease continues, so
        that a ping that has begun may end within it."""
        left = target.timeout_seconds - (monotonic() - begun)
        chat = await self._chat(replace(target, begin_by=None, timeout_seconds=max(left, 0.1)))
        return replace(chat, key_refused=said)

    async def _seen_gone(self, target: Target, error: NotClosed, until: float) -> Closed:
        """Prove the end of a session that its node has ended already. Each close is then answered with an error; two
        pings that say that it is gone are the proof."""
        if await self._says_no_session(target, until):
            return Closed(proof="the gateway says no_session", nothing_was_open=True)
        for n in range(_SIGHTS):
            await asyncio.sleep(self._options.close_retry_seconds if n else 0)
            left = min(self._options.read_timeout_seconds, until - monotonic())
            if target.handle is None or left <= 0:
                raise error
            error.probe = seen = await self._chat(replace(target, begin_by=None, timeout_seconds=left))
            if seen.verdict is not Verdict.GONE:
                raise error
        proof = f"its ping says that it is gone: {seen.detail}; the close was answered: {error}"
        return Closed(proof=proof, closed_handle=target.handle, probe=seen)

    async def _says_no_session(self, target: Target, until: float) -> bool:
        """Ask the gateway's own ping, if configured, about a session judged dead. Send it before `until`: it can close
        a session, and the key may have its next user after that."""
        left = min(self._options.read_timeout_seconds, until - monotonic())
        if not (self.card.lifecycle.asks_who_died and target.judged_dead) or left <= 0:
            return False
        try:
            return says_no_session(await self._slot.ping(target.secret, left))
        except ProviderError:
            return False

    def _endpoint(self, model: str, secret: Secret | None) -> Endpoint:
        return Endpoint(
            url=self._options.base_url,
            model=model,
            auth=Auth.BEARER,
            secret_ref=secret.ref if secret else None,
        )


def _deadline(seconds: float, send_by: float | None) -> float:
    """Return until when one operation may send its calls: the key may have its next user after that."""
    return min(monotonic() + seconds, math.inf if send_by is None else send_by)


def _needed(secret: Secret | None) -> Secret:
    if secret is None:
        raise Misconfigured("the Morpheus gateway needs a credential")
    return secret


TYPE = DriverType(MorpheusOptions, MorpheusDriver, card)
