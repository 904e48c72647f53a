"""A plain JSON control API, used as the configuration describes it.

If the answer to an open is lost, what it opened is found by status, by list, or by repeating an idempotent open. If the
configuration offers none of these, an operator must look."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.providers.chat.ping import Dialect, Pinger
from orchestrator.providers.drivers.fpt.control import TemplateControl
from orchestrator.providers.drivers.fpt.options import FptOptions, chat_base
from orchestrator.providers.drivers.fpt.templates import (
    ENDED,
    AnswerTable,
    ListTable,
    StatusTable,
    values_of_order,
    values_of_target,
)
from orchestrator.providers.http.client import HttpClient
from orchestrator.providers.port.card import Card
from orchestrator.providers.port.driver import (
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
    NotSent,
    OutcomeUnknown,
    ProviderError,
)
from orchestrator.providers.port.faults import names_expiry
from orchestrator.providers.shared.lifecycle import finding_out, not_closed
from orchestrator.providers.shared.paths import read_text, read_time
from orchestrator.rules.values import Verdict


class TemplateDriver:
    """A driver for one platform with configured calls."""

    def __init__(self, name: str, card: Card, options: FptOptions, http: HttpClient) -> None:
        self.name = name
        self.card = card
        self._control = TemplateControl(options, http)
        self._options = options
        self._pinger = Pinger(http)
        self._dialect = Dialect(
            rules=options.ping_rules, most_tokens=options.ping_most_tokens, looks=options.looks
        )

    async def open(self, order: Order) -> Placed:
        body = await self._control.open(values_of_order(order), order.secret)
        return self._placed(order, _found(order, body, self._control.opening))

    async def resolve(self, order: Order, *, close: bool) -> Placed | NotPlaced:
        """Find out what an open did. Never raise Refused: a platform that refuses now may have opened before."""
        with finding_out(NotSent):
            found = await self._find(order)
            if isinstance(found, NotPlaced):
                return found
            if not close:
                return self._placed(order, found)
            values = values_of_order(order) | ({"handle": found.handle} if found.handle else {})
            closed = await self._control.close(values, order.secret)
            return NotPlaced(proof=closed.proof, ended_handle=closed.closed_handle)

    async def probe(self, target: Target) -> Probe:
        if target.endpoint is None:
            return Probe(verdict=Verdict.MISCONFIGURED, latency_ms=0, detail="its endpoint is not known")
        return await self._pinger.probe(target, target.endpoint, self._dialect)

    async def status(self, target: Target) -> Status:
        try:
            life, said, body = await self._control.status(values_of_target(target), target.secret)
        except ProviderError as error:
            return Status(life=Life.UNKNOWN, detail=str(error))
        table = self._options.status
        ends_at = read_time(body, table.ends_at) if table else None
        return Status(life=life, detail=said, ends_at=ends_at, expired=life in ENDED and names_expiry(said))

    async def close(self, target: Target) -> Closed:
        with not_closed():
            return await self._control.close(values_of_target(target), target.secret)

    async def list(self, secret: Secret | None) -> Sequence[Listed]:
        table = self._options.list
        if table is None:
            raise CannotAsk(f"{self.name} has no list of sessions in its configuration")
        return [
            Listed(
                handle=read_text(item, table.handle) or "",
                name=read_text(item, table.name),
                opened_at=read_time(item, table.opened_at),
                ends_at=read_time(item, table.ends_at),
            )
            for item in await self._control.items(secret)
        ]

    async def aclose(self) -> None:
        """Do nothing: the client is shared, and its builder closes it."""

    async def _find(self, order: Order) -> "_Found | NotPlaced":
        """Return the outcome of a lost open, by the most reliable way that is configured."""
        status, listed = self._options.status, self._options.list
        if status is not None and status.placeholders <= values_of_order(order).keys():
            return await self._find_by_status(status, order, order.handle)
        if listed is not None and self.card.identity.names_create and listed.name:
            return await self._find_by_list(listed, order)
        if self.card.lifecycle.repeats_open:
            body = await self._control.open(values_of_order(order), order.secret)
            return _found(order, body, self._control.opening)
        raise OutcomeUnknown("an operator must look: nothing in the configuration finds a lost open")

    async def _find_by_status(
        self, table: StatusTable, order: Order, handle: str | None
    ) -> "_Found | NotPlaced":
        values = values_of_order(order) | ({"handle": handle} if handle else {})
        life, said, body = await self._control.status(values, order.secret)
        if life in ENDED:
            return NotPlaced(proof=f"its status: {said}")
        return _found(order, body, table, handle, unclear=said if life is Life.UNKNOWN else None)

    async def _find_by_list(self, table: ListTable, order: Order) -> "_Found | NotPlaced":
        items = await self._control.items(order.secret)
        mine = [item for item in items if read_text(item, table.name) == order.name]
        if not mine:
            return NotPlaced(proof=f"nothing named {order.name} is listed")
        handle = read_text(mine[0], table.handle)
        if len(mine) > 1 or handle is None or handle in order.known_handles:
            raise OutcomeUnknown(f"{len(mine)} sessions are named {order.name}", possible_orphans=True)
        if self._options.status is None:
            return _found(order, None, None, handle)
        return await self._find_by_status(self._options.status, order, handle)

    def _placed(self, order: Order, found: "_Found") -> Placed:
        """Return the placement. One that exists and cannot be used yet raises OutcomeUnknown until it can be used or
        closed."""
        if found.unclear is not None:
            raise OutcomeUnknown(f"its status: {found.unclear}")
        url = found.read("endpoint_url") or self._options.endpoint_url
        if found.handle is None or url is None:
            missing = "handle" if found.handle is None else "endpoint"
            raise OutcomeUnknown(f"it exists ({found.handle or order.name}), but its {missing} is not known")
        return Placed(
            handle=found.handle,
            endpoint=self._endpoint(order, url, found.read("endpoint_model")),
            ends_at=read_time(found.body, found.table.ends_at) if found.table else None,
            lasts_seconds=order.duration_seconds,
        )

    def _endpoint(self, order: Order, url: str, model: str | None) -> Endpoint:
        ref = self._options.endpoint_secret_ref or (order.secret.ref if order.secret else None)
        return Endpoint(
            url=chat_base(url), model=model or order.model, auth=self._options.endpoint_auth, secret_ref=ref
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Found:
    """A session that exists at the platform, usable or not: it can be closed without an endpoint."""

    handle: str | None
    body: Any
    table: AnswerTable | None
    unclear: str | None = None
    """The word of a status that nothing is known of."""

    def read(self, key: str) -> str | None:
        return read_text(self.body, getattr(self.table, key)) if self.table else None


def _found(
    order: Order, body: Any, table: AnswerTable | None, handle: str | None = None, unclear: str | None = None
) -> _Found:
    shown = read_text(body, table.handle) if table else None
    return _Found(handle=shown or handle or order.handle, body=body, table=table, unclear=unclear)
