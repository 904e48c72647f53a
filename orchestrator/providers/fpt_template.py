"""A plain JSON control API, driven as the configuration says.

What was opened without our hearing of it is found by status, by list, or by repeating an idempotent open; where
the configuration offers none of these, an operator must look.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.providers.answers import Answer
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
    ProviderFull,
    Throttled,
)
from orchestrator.providers.faults import describe, read_fault, verdict_of
from orchestrator.providers.fpt_options import FptOptions, chat_base
from orchestrator.providers.http import HttpClient
from orchestrator.providers.lifecycle import ask_changing, ask_reading, refusal
from orchestrator.providers.paths import is_readable, read_text, read_time
from orchestrator.providers.secrets import brief
from orchestrator.providers.templates import (
    AnswerTable,
    CloseTable,
    ListTable,
    OpenTable,
    StatusTable,
    values_of_order,
    values_of_target,
)
from orchestrator.rules.values import Verdict

_ENDED = (Life.STOPPED, Life.FAILED, Life.GONE)


class TemplateDriver:
    """One platform whose calls are data."""

    def __init__(self, name: str, card: Card, options: FptOptions, http: HttpClient) -> None:
        assert options.open is not None
        assert options.close is not None
        self.name = name
        self.card = card
        self._open: OpenTable = options.open
        self._close: CloseTable = options.close
        self._status: StatusTable | None = options.status
        self._options = options
        self._http = http
        self._pinger = Pinger(http)
        self._dialect = Dialect(rules=options.ping_rules, most_tokens=options.ping_most_tokens)

    async def open(self, order: Order) -> Placed:
        timeout = self._options.open_timeout_seconds
        call = self._open.call(self._options.base_url, values_of_order(order), order.secret, timeout)
        answer = await ask_changing(self._http, call)
        if not _succeeded(answer, self._open) or not read_text(answer.json, self._open.handle):
            raise self._not_opened(answer)
        return self._placed(order, answer.json, self._open)

    async def resolve(self, order: Order, *, close: bool) -> Placed | NotPlaced:
        """Never says Refused: what refuses now may have opened before."""
        try:
            found = await self._find(order)
            if isinstance(found, NotPlaced) or not close:
                return found
            values = {**values_of_order(order), "handle": found.handle}
            return NotPlaced(proof=(await self._closed(values, order.secret)).proof)
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
            table, values = self._askable(values_of_target(target))
            answer = await self._ask_status(table, values, target.secret)
            life, said = self._life(table, answer)
        except ProviderError as error:
            return Status(life=Life.UNKNOWN, detail=str(error))
        return Status(life=life, detail=said, ends_at=read_time(answer.json, table.ends_at))

    async def close(self, target: Target) -> Closed:
        try:
            return await self._closed(values_of_target(target), target.secret)
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
            for item in await self._items(table, secret)
        ]

    async def aclose(self) -> None:
        """The client is shared; whoever built it closes it."""

    async def _find(self, order: Order) -> Placed | NotPlaced:
        """What became of a lost open, by the surest way that the configuration offers."""
        values = values_of_order(order)
        if self._status is not None and self._status.placeholders <= values.keys():
            return await self._find_by_status(self._status, order, values)
        if self._options.list is not None and self.card.names_create and self._options.list.name:
            return await self._find_by_list(self._options.list, order)
        if self.card.repeats_open:
            return await self.open(order)
        raise OutcomeUnknown("an operator must look: nothing in the configuration finds a lost open")

    async def _find_by_status(
        self, table: StatusTable, order: Order, values: Mapping[str, Any]
    ) -> Placed | NotPlaced:
        answer = await self._ask_status(table, values, order.secret)
        life, said = self._life(table, answer)
        if life in _ENDED:
            return NotPlaced(proof=f"its status: {said}")
        if life is Life.UNKNOWN:
            raise OutcomeUnknown(f"its status: {said}")
        return self._placed(order, answer.json, table)

    async def _find_by_list(self, table: ListTable, order: Order) -> Placed | NotPlaced:
        items = await self._items(table, order.secret)
        mine = [item for item in items if read_text(item, table.name) == order.name]
        if not mine:
            return NotPlaced(proof=f"nothing named {order.name} is listed")
        handle = read_text(mine[0], table.handle)
        if len(mine) > 1 or handle is None or handle in order.known_handles:
            raise OutcomeUnknown(f"{len(mine)} sessions are named {order.name}", possible_orphans=True)
        values = {**values_of_order(order), "handle": handle}
        if self._status is None:
            return self._placed(order, None, None, handle)
        return await self._find_by_status(self._status, order, values)

    async def _closed(self, values: Mapping[str, Any], secret: Secret | None) -> Closed:
        if not self._close.placeholders <= values.keys():
            raise NotClosed("its handle is not known, and the close needs it")
        timeout = self._options.close_timeout_seconds
        call = self._close.call(self._options.base_url, values, secret, timeout)
        answer = await ask_changing(self._http, call)
        handle = values.get("handle")
        if _succeeded(answer, self._close):
            return Closed(proof=await self._proof(answer, values, secret), closed_handle=handle)
        if verdict_of(answer, self._options.rules) is Verdict.GONE:
            return Closed(proof=f"already gone: {describe(answer)}", closed_handle=handle)
        raise NotClosed(describe(answer))

    async def _proof(self, answer: Answer, values: Mapping[str, Any], secret: Secret | None) -> str:
        """A platform may say yes and go on: where it can be asked, its status is the proof."""
        if self._status is None or not self._options.confirm_close:
            return f"the platform answered HTTP {answer.status} to the close"
        table, values = self._askable(values)
        life, said = self._life(table, await self._ask_status(table, values, secret))
        if life not in _ENDED:
            raise NotClosed(f"the close was accepted, but the status is still: {said}")
        return f"its status after the close: {said}"

    def _askable(self, values: Mapping[str, Any]) -> tuple[StatusTable, Mapping[str, Any]]:
        if self._status is None or not self._status.placeholders <= values.keys():
            raise CannotAsk("its status cannot be asked")
        return self._status, values

    async def _ask_status(
        self, table: StatusTable, values: Mapping[str, Any], secret: Secret | None
    ) -> Answer:
        timeout = self._options.read_timeout_seconds
        return await ask_reading(self._http, table.call(self._options.base_url, values, secret, timeout))

    def _life(self, table: StatusTable, answer: Answer) -> tuple[Life, str]:
        """What the status says, and how it said it. Raises where it says nothing."""
        if _succeeded(answer, table) and answer.json is not None:
            life, said = table.life(answer.json)
            return life, brief(said, answer.hidden)
        if verdict_of(answer, self._options.rules) is Verdict.GONE:
            return Life.GONE, describe(answer)
        raise refusal(answer, self._options.rules)

    async def _items(self, table: ListTable, secret: Secret | None) -> Sequence[Any]:
        timeout = self._options.read_timeout_seconds
        answer = await ask_reading(self._http, table.call(self._options.base_url, {}, secret, timeout))
        items = table.live(answer.json) if _succeeded(answer, table) else None
        if items is not None:
            return items
        if _succeeded(answer, table):
            raise OutcomeUnknown(f"no list of sessions: {describe(answer)}")
        raise refusal(answer, self._options.rules)

    def _not_opened(self, answer: Answer) -> ProviderError:
        """What the configuration calls definite is; otherwise only a refusal of the request itself."""
        said = describe(answer)
        means = self._meaning(answer)
        if means == "full":
            return ProviderFull(said)
        if means in (None, "transient", "loading"):
            conflict = answer.status == 409 and self.card.names_create  # perhaps with our own, lost before
            if answer.status >= 500 or answer.status < 300 or answer.status == 408 or conflict:
                return OutcomeUnknown(said)
        return refusal(answer, self._options.rules)

    def _meaning(self, answer: Answer) -> str | None:
        text = read_fault(answer).text
        fitting = (one for one in self._options.errors if answer.status in one.statuses)
        return next((one.means for one in fitting if one.rule.pattern.search(text)), None)

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


def _succeeded(answer: Answer, table: Any) -> bool:
    return answer.status in table.success_statuses and is_readable(answer)
