"""Sesterce AI inference: one session is one inference instance, attached, started or created.

A create is named after its placement, so that it is found in the list after a lost answer. The proof of a close is a
list that shows the instance stopped or gone, whatever the answer to the stop was."""

from collections.abc import Sequence
from dataclasses import replace

from orchestrator.providers.chat.ping import Dialect, Pinger
from orchestrator.providers.drivers.sesterce.control import Instance, SesterceControl
from orchestrator.providers.drivers.sesterce.endpoint import Endpoints
from orchestrator.providers.drivers.sesterce.names import Names, by_id, instance_id
from orchestrator.providers.drivers.sesterce.options import SesterceOptions, card
from orchestrator.providers.http.client import HttpClient
from orchestrator.providers.http.clock import monotonic
from orchestrator.providers.port.driver import (
    Closed,
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
    ModelMissing,
    NotClosed,
    NotSent,
    OutcomeUnknown,
    ProviderError,
    ProviderFull,
)
from orchestrator.providers.port.faults import rule
from orchestrator.providers.shared.driver_type import DriverType
from orchestrator.providers.shared.lifecycle import closed_or_ended, finding_out, not_closed
from orchestrator.providers.shared.starting import Start, slept
from orchestrator.rules.values import Verdict

#: States that are not billed, and will not be soon.
_ENDED = frozenset({Life.STOPPED, Life.FAILED, Life.GONE})


class SesterceDriver:
    """A driver for one Sesterce account."""

    def __init__(self, name: str, options: SesterceOptions, http: HttpClient) -> None:
        self.name = name
        self.card = card(options)
        self._options = options
        self._control = SesterceControl(http, options)
        self._names = Names(options)
        self._endpoints = Endpoints(http, options)
        self._pinger = Pinger(http)
        gone = (rule(Verdict.GONE, (401,), ""),) if options.unauthorized_means == "gone" else ()
        self._dialect = Dialect(
            most_tokens=options.ping_most_tokens, rules=(*options.rules, *gone), looks=options.looks
        )

    async def open(self, order: Order) -> Placed:
        until = monotonic() + self._options.open_timeout_seconds
        listed = await self._control.list(_needed(order.secret))
        if self._options.on_open == "attach":
            return await self._attached(order, listed, until)
        if self._options.on_open == "start":
            return await self._started(order, listed, until)
        return await self._created(order, listed, until)

    async def resolve(self, order: Order, *, close: bool) -> Placed | NotPlaced:
        """Find out what an open did. Never raise Refused of what may run, except for a deployment that failed and was
        ended."""
        if self._options.on_open == "attach":
            return NotPlaced(proof="attaching opens nothing") if close else await self.open(order)
        with finding_out(ProviderFull, NotSent):
            found = self._names.begun(order, await self._control.list(_needed(order.secret)))
            return await (self._unmade(order, found) if close else self._adopted(order, found))

    async def probe(self, target: Target) -> Probe:
        if target.endpoint is None:
            return Probe(verdict=Verdict.MISCONFIGURED, latency_ms=0, detail="an instance without an address")
        return await self._pinger.probe(target, target.endpoint, self._dialect)

    async def status(self, target: Target) -> Status:
        try:
            found = by_id(await self._control.list(target.secret), instance_id(target.handle))
        except ProviderError as error:
            return Status(life=Life.UNKNOWN, detail=str(error))
        if found is None:
            return Status(life=Life.GONE, detail=f"{target.handle} is not listed")
        return Status(life=found.life, detail=found.said, price_per_hour=found.price_per_hour)

    async def close(self, target: Target) -> Closed:
        if self._options.on_close == "leave":
            return Closed(proof="a shared instance, left running as configured", closed_handle=target.handle)
        if target.handle is None:
            raise NotClosed("the instance's id is not known")
        with not_closed():
            closed = await self._ended(target.secret, instance_id(target.handle))
        return replace(closed, closed_handle=target.handle)

    async def list(self, secret: Secret | None) -> Sequence[Listed]:
        listed = await self._control.list(secret)
        return [self._names.listed(one) for one in listed if one.life not in (Life.STOPPED, Life.GONE)]

    async def check(self, secret: Secret | None) -> str:
        return f"{len(await self._control.list(secret))} instances listed"

    async def lists(self, model: str, secret: Secret | None) -> str:
        return self._names.described(model, await self._control.list(secret))

    async def aclose(self) -> None:
        """Do nothing: the client is shared, and its builder closes it."""

    # opening

    async def _attached(self, order: Order, listed: Sequence[Instance], until: float) -> Placed:
        """Attach to an instance. This changes nothing, so every error is a definite one."""
        while True:
            found = self._names.meant(order.model, listed)
            if found is None or found.life is Life.GONE:
                raise ModelMissing(f"{self.name} lists no instance {self._names.reference(order)}")
            if found.life in _ENDED:
                raise Misconfigured(f"{found.said}: start it, or set on_open")
            self._not_anothers(order, found)
            placed = await self._endpoints.placed(order, found)
            if placed is not None:
                return placed
            if not await slept(self._options.poll_seconds, until):
                raise NotSent(f"{found.said} and cannot be used yet")
            listed = await self._control.list(order.secret)

    def _not_anothers(self, order: Order, found: Instance) -> None:
        if self._names.is_anothers(order, found):
            raise ProviderFull(f"{found.id} is another session's")

    async def _started(self, order: Order, listed: Sequence[Instance], until: float) -> Placed:
        found = self._names.meant(order.model, listed)
        if found is None or found.life is Life.GONE:
            raise ModelMissing(f"{self.name} lists no instance {self._names.reference(order)}")
        if found.life is Life.FAILED:
            raise Misconfigured(found.said)
        self._not_anothers(order, found)
        if order.unwanted_rivals_sent_at:
            raise ProviderFull(f"an open that is no longer wanted may yet start {found.id}")
        if found.life is Life.STOPPED:
            await self._control.start(order.secret, found.id, until - monotonic())
        elif not self._options.start_takes_running:
            raise ProviderFull(f"{found.said} already: another session may use it")
        return await self._ready(order, found.id, until)

    async def _created(self, order: Order, listed: Sequence[Instance], until: float) -> Placed:
        """Create an instance, unless one of this name exists: the same order, sent again, must not create a second."""
        found = self._names.begun(order, listed)
        if found is not None:
            return await self._ready(order, found.id, until)
        body = {**self._options.instance.body(), "modelId": order.model, "name": self._names.of(order)}
        made = await self._control.create(order.secret, body, until - monotonic())
        return await self._ready(order, made, until)

    async def _ready(self, order: Order, instance_id: str, until: float) -> Placed:
        """Wait for the address of the instance that now runs for us."""

        async def look() -> Instance | None:
            return by_id(await self._control.list(order.secret), instance_id)

        start = Start(
            name=instance_id,
            look=look,
            place=lambda found: self._endpoints.placed(order, found, ours=True),
            end=lambda found: self._ended(order.secret, found.id),
            failed=frozenset({Life.FAILED}),
            until=until,
            poll_seconds=self._options.poll_seconds,
        )
        return await start.wait()

    # resolving

    async def _adopted(self, order: Order, found: Instance | None) -> Placed | NotPlaced:
        until = monotonic() + self._options.open_timeout_seconds
        if found is None or found.life is Life.GONE:
            return NotPlaced(proof=f"{self._names.reference(order)} is not in the list of instances")
        self._not_anothers(order, found)
        if found.life is Life.STOPPED:
            return NotPlaced(proof=f"{found.said}: it does not run")
        return await self._ready(order, found.id, until)

    async def _unmade(self, order: Order, found: Instance | None) -> NotPlaced:
        if found is None:
            return NotPlaced(proof=f"{self._names.reference(order)} is not in the list of instances")
        if found.life is Life.GONE or (found.life in _ENDED and self._options.on_close == "stop"):
            return NotPlaced(proof=found.said)
        if self._names.is_anothers(order, found):
            return NotPlaced(proof=f"{found.id} is another session's")
        if self._options.on_open == "start" and order.rivals_sent_at:
            raise OutcomeUnknown(f"{found.said}: this open or another's may have started it")
        return NotPlaced(proof=(await self._ended(order.secret, found.id)).proof, ended_handle=found.id)

    # closing

    async def _ended(self, secret: Secret | None, instance_id: str) -> Closed:
        """Stop or delete, then read the list: it alone is the proof. Raises ProviderError if it proves nothing."""
        return await closed_or_ended(
            self._control.end(secret, instance_id, self._options.close_call_seconds),
            lambda error: self._seen_ended(secret, instance_id, error),
        )

    async def _seen_ended(self, secret: Secret | None, instance_id: str, said: ProviderError) -> Closed:
        """Prove an end by the list. A failed instance may recover by itself: it has ended only if the stop was
        answered."""
        ended = _ENDED if isinstance(said, NotClosed) else _ENDED - {Life.FAILED}
        found = by_id(await self._control.list(secret), instance_id)
        if found is not None and found.life not in ended:
            raise NotClosed(found.said)
        return Closed(proof=found.said if found else f"{instance_id} is not in the list of instances")


def _needed(secret: Secret | None) -> Secret:
    if secret is None:
        raise Misconfigured("Sesterce's control API needs a credential")
    return secret


TYPE = DriverType(SesterceOptions, SesterceDriver, card)
