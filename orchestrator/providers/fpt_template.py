"""A plain JSON control API, driven as the configuration says.

What was opened without our hearing of it is found by status, by list, or by repeating an idempotent open; where
the configuration offers none of these, an operator must look.
"""

from collections.abc import Sequence
from typing import Any

from orchestrator.providers.card import Card
from orchestrator.providers.chat import Dialect, Pinger
from orchestrator.providers.driver import (
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
from orchestrator.providers.errors import (
    CannotAsk,
    NotClosed,
    NotSent,
    OutcomeUnknown,
    ProviderError,
    Throttled,
)
from orchestrator.providers.fpt_control import ENDED, Control
from orchestrator.providers.fpt_options import FptOptions, chat_base
from orchestrator.providers.http import HttpClient
from orchestrator.providers.paths import read_text, read_time
from orchestrator.providers.templates import (
    AnswerTable,
    ListTable,
    StatusTable,
    values_of_order,
    values_of_target,
)
from orchestrator.rules.values import Verdict


class TemplateDriver:
    """One platform whose calls are data."""

    def __init__(self, name: str, card: Card, options: FptOptions, http: HttpClient) -> None:
        self.name = name
        self.card = card
        self._control = Control(options, http)
        self._options = options
        self._pinger = Pinger(http)
        self._dialect = Dialect(rules=options.ping_rules, most_tokens=options.ping_most_tokens)

    async def open(self, order: Order) -> Placed:
        body = await self._control.open(values_of_order(order), order.secret)
        return self._placed(order, body, self._control.opening)

    async def resolve(self, order: Order, *, close: bool) -> Placed | NotPlaced:
        """Never says Refused: what refuses now may have opened before."""
        try:
            found = await self._find(order)
            if isinstance(found, NotPlaced) or not close:
                return found
            values = {**values_of_order(order), "handle": found.handle}
            return NotPlaced(proof=(await self._control.close(values, order.secret)).proof)
        except (OutcomeUnknown, NotSent, Throttled):
            raise
        except ProviderError as error:
            raise OutcomeUnknown(f"still not known: {error}") from error

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
        return Status(life=life, detail=said, ends_at=read_time(body, table.ends_at) if table else None)

    async def close(self, target: Target) -> Closed:
        try:
            return await self._control.close(values_of_target(target), target.secret)
        except NotClosed:
            raise
        except ProviderError as error:
            raise NotClosed(str(error)) from error

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
        """The client is shared; whoever built it closes it."""

    async def _find(self, order: Order) -> Placed | NotPlaced:
        """What became of a lost open, by the surest way that the configuration offers."""
        status, listed = self._options.status, self._options.list
        if status is not None and status.placeholders <= values_of_order(order).keys():
            return await self._find_by_status(status, order, order.handle)
        if listed is not None and self.card.names_create and listed.name:
            return await self._find_by_list(listed, order)
        if self.card.repeats_open:
            return await self.open(order)
        raise OutcomeUnknown("an operator must look: nothing in the configuration finds a lost open")

    async def _find_by_status(
        self, table: StatusTable, order: Order, handle: str | None
    ) -> Placed | NotPlaced:
        values = values_of_order(order) | ({"handle": handle} if handle else {})
        life, said, body = await self._control.status(values, order.secret)
        if life in ENDED:
            return NotPlaced(proof=f"its status: {said}")
        if life is Life.UNKNOWN:
            raise OutcomeUnknown(f"its status: {said}")
        return self._placed(order, body, table)

    async def _find_by_list(self, table: ListTable, order: Order) -> Placed | NotPlaced:
        items = await self._control.items(order.secret)
        mine = [item for item in items if read_text(item, table.name) == order.name]
        if not mine:
            return NotPlaced(proof=f"nothing named {order.name} is listed")
        handle = read_text(mine[0], table.handle)
        if len(mine) > 1 or handle is None or handle in order.known_handles:
            raise OutcomeUnknown(f"{len(mine)} sessions are named {order.name}", possible_orphans=True)
        if self._options.status is None:
            return self._placed(order, None, None, handle)
        return await self._find_by_status(self._options.status, order, handle)

    def _placed(
        self, order: Order, body: Any, table: AnswerTable | None, handle: str | None = None
    ) -> Placed:
        """What exists and cannot be used is no refusal: it stays unknown until it can be used or closed."""
        known = (read_text(body, table.handle) if table else None) or handle or order.handle
        url = (read_text(body, table.endpoint_url) if table else None) or self._options.endpoint_url
        if known is None or url is None:
            missing = "handle" if known is None else "endpoint"
            raise OutcomeUnknown(f"it exists ({known or order.name}), but its {missing} is not told")
        return Placed(
            handle=known,
            endpoint=self._endpoint(order, url, read_text(body, table.endpoint_model) if table else None),
            ends_at=read_time(body, table.ends_at) if table else None,
            lasts_seconds=order.duration_seconds,
        )

    def _endpoint(self, order: Order, url: str, model: str | None) -> Endpoint:
        ref = self._options.endpoint_secret_ref or (order.secret.ref if order.secret else None)
        return Endpoint(
            url=chat_base(url), model=model or order.model, auth=self._options.endpoint_auth, secret_ref=ref
        )
