"""Hugging Face Inference Endpoints: one session is one dedicated endpoint, created and deleted for it.

An endpoint is named after its placement, and names are unique there: the identical create is refused, and a lost one is
found by its name. The proof of a close is that neither the name nor the list shows the endpoint."""

from collections.abc import Sequence
from dataclasses import replace

from orchestrator.providers.chat.ping import Dialect, Pinger
from orchestrator.providers.drivers.huggingface.control import HostedEndpoint, HuggingFaceControl
from orchestrator.providers.drivers.huggingface.names import name_of, order_name
from orchestrator.providers.drivers.huggingface.options import HuggingFaceOptions, card
from orchestrator.providers.http.client import HttpClient
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
    Misconfigured,
    NotClosed,
    NotSent,
    ProviderError,
    ProviderFull,
)
from orchestrator.providers.port.faults import rule
from orchestrator.providers.shared.driver_type import DriverType
from orchestrator.providers.shared.lifecycle import closed_or_ended, finding_out, not_closed
from orchestrator.providers.shared.starting import Start
from orchestrator.rules.values import Verdict

#: What the platform's proxy says before an endpoint; a ping that says gone is checked against the state.
_PING_RULES = (
    rule(Verdict.GONE, (400,), r"\binvalid state\b"),
    rule(Verdict.GONE, (404, 410), r"\bendpoint\b.*(?:not (?:be )?found|does not exist|deleted|no longer)"),
    rule(Verdict.LOADING, (500, 502, 503), r"\binitiali[sz]ing\b|\bscal(?:ing|ed)\b|no replicas?\b"),
)


class HuggingFaceDriver:
    """A driver for one namespace."""

    def __init__(self, name: str, options: HuggingFaceOptions, http: HttpClient) -> None:
        self.name = name
        self.card = card(options)
        self._options = options
        self._control = HuggingFaceControl(http, options)
        self._pinger = Pinger(http)
        self._dialect = Dialect(
            rules=(*options.rules, *_PING_RULES), most_tokens=options.ping_most_tokens, looks=options.looks
        )

    async def open(self, order: Order) -> Placed:
        until = monotonic() + self._options.open_timeout_seconds
        name = self._name(order.name)
        body = {**self._options.body(order.model, order.nodes), "name": name}
        made = await self._control.create(_needed(order.secret), body, until - monotonic())
        return await self._start(order, name, until).wait(made)

    async def resolve(self, order: Order, *, close: bool) -> Placed | NotPlaced:
        """Find out by its name what an open did. A failed deployment is deleted, and only then refused."""
        name = self._name(order.name)
        with finding_out(ProviderFull, NotSent):
            found = await self._control.show(_needed(order.secret), name)
            if found is None:
                return NotPlaced(proof=f"there is no endpoint {name}")
            if close or found.life is Life.STOPPED:
                return NotPlaced(proof=(await self._deleted(order.secret, name)).proof, ended_handle=name)
            until = monotonic() + self._options.open_timeout_seconds
            return await self._start(order, name, until).wait(found)

    async def probe(self, target: Target) -> Probe:
        if target.endpoint is None:
            return Probe(verdict=Verdict.MISCONFIGURED, latency_ms=0, detail="an endpoint without an address")
        return await self._pinger.probe(target, target.endpoint, self._dialect)

    async def status(self, target: Target) -> Status:
        if target.handle is None and target.name is None:
            return Status(life=Life.UNKNOWN, detail="the endpoint's name is not known")
        try:
            name = target.handle or self._name(target.name or "")
            found = await self._control.show(target.secret, name)
        except ProviderError as error:
            return Status(life=Life.UNKNOWN, detail=str(error))
        if found is None:
            return Status(life=Life.GONE, detail=f"there is no endpoint {name}")
        return Status(life=found.life, detail=found.said)

    async def close(self, target: Target) -> Closed:
        if target.handle is None:
            raise NotClosed("the endpoint's name is not known")
        with not_closed():
            closed = await self._deleted(target.secret, target.handle)
        return replace(closed, closed_handle=target.handle)

    async def list(self, secret: Secret | None) -> Sequence[Listed]:
        found = await self._control.list(secret)
        return [self._listed(one) for one in found if one.life is not Life.STOPPED]

    async def check(self, secret: Secret | None) -> str:
        return f"{len(await self._control.list(secret))} endpoints listed"

    async def aclose(self) -> None:
        """Do nothing: the client is shared, and its builder closes it."""

    def _name(self, name: str) -> str:
        return name_of(self._options.name_prefix, name)

    # opening

    def _start(self, order: Order, name: str, until: float) -> Start[HostedEndpoint]:
        """Return how the endpoint that now starts for us is waited for."""

        async def place(found: HostedEndpoint) -> Placed | None:
            if found.url is None:
                return None
            return Placed(handle=name, endpoint=self._endpoint(order, found.url), note=found.said)

        return Start(
            name=name,
            look=lambda: self._control.show(order.secret, name),
            place=place,
            end=lambda found: self._deleted(order.secret, found.name),
            failed=frozenset({Life.FAILED, Life.STOPPED}),
            until=until,
            poll_seconds=self._options.poll_seconds,
        )

    def _endpoint(self, order: Order, url: str) -> Endpoint:
        public = self._options.type == "public"
        return Endpoint(
            url=url.rstrip("/").removesuffix("/v1") + "/v1",
            model=self._options.served_as.get(order.model, order.model),
            auth=Auth.NONE if public else Auth.BEARER,
            secret_ref=order.secret.ref if order.secret and not public else None,
        )

    # closing

    async def _deleted(self, secret: Secret | None, name: str) -> Closed:
        """Delete, then look: only an endpoint that is no longer shown is closed. Raises ProviderError without proof."""
        return await closed_or_ended(
            self._control.delete(secret, name, self._options.close_call_seconds),
            lambda _error: self._seen_gone(secret, name),
        )

    async def _seen_gone(self, secret: Secret | None, name: str) -> Closed:
        found = await self._control.show(secret, name)
        if found is not None:
            raise NotClosed(found.said)
        return Closed(proof=f"there is no endpoint {name}")

    def _listed(self, one: HostedEndpoint) -> Listed:
        """Return an endpoint as listed. Only a name that we could have given is ours; all others are never touched."""
        name = order_name(self._options.name_prefix, one.name)
        return Listed(
            handle=one.name, name=name, opened_at=one.created_at, life=one.life, foreign=name is None
        )


def _needed(secret: Secret | None) -> Secret:
    if secret is None:
        raise Misconfigured("the control API of Inference Endpoints needs a credential")
    return secret


TYPE = DriverType(HuggingFaceOptions, HuggingFaceDriver, card)
