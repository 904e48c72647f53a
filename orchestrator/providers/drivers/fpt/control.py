"""The calls of a template, one method each, and what their answers mean."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from orchestrator.providers.drivers.fpt.options import FptOptions
from orchestrator.providers.drivers.fpt.templates import ENDED, CloseTable, OpenTable, StatusTable
from orchestrator.providers.http.client import HttpClient
from orchestrator.providers.port.answers import Response
from orchestrator.providers.port.driver import Closed, Life, Secret
from orchestrator.providers.port.errors import (
    CannotAsk,
    NotClosed,
    OutcomeUnknown,
    ProviderError,
    ProviderFull,
)
from orchestrator.providers.port.faults import describe, verdict_of
from orchestrator.providers.port.secrets import brief
from orchestrator.providers.shared.lifecycle import (
    ask_changing,
    ask_reading,
    closed_or_ended,
    may_have_happened,
    refusal,
)
from orchestrator.providers.shared.paths import is_readable, read_text
from orchestrator.rules.values import Verdict


class TemplateControl:
    """Sends the configured calls. `values` fill the placeholders."""

    def __init__(self, options: FptOptions, http: HttpClient) -> None:
        assert options.open is not None
        assert options.close is not None
        self.opening: OpenTable = options.open
        self._closing: CloseTable = options.close
        self._options = options
        self._http = http

    async def open(self, values: Mapping[str, Any], secret: Secret | None) -> Any:
        """Return the body that shows what was opened. Raises what `Driver.open` may raise."""
        timeout = self._options.open_timeout_seconds
        call = self.opening.call(self._options.base_url, values, secret, timeout)
        answer = await ask_changing(self._http, call)
        if not _succeeded(answer, self.opening) or not read_text(answer.json, self.opening.handle):
            raise self._not_opened(answer)
        return answer.json

    async def status(self, values: Mapping[str, Any], secret: Secret | None) -> tuple[Life, str, Any]:
        """Return the life that the status shows, the platform's word for it, and the body. Raises if the status does
        not show it."""
        table = self._askable(values)
        timeout = self._options.read_timeout_seconds
        answer = await ask_reading(self._http, table.call(self._options.base_url, values, secret, timeout))
        if _succeeded(answer, table) and answer.json is not None:
            life, said = table.life(answer.json)
            return life, brief(said, answer.hidden), answer.json
        if verdict_of(answer, self._options.rules) is Verdict.GONE:
            return Life.GONE, describe(answer), answer.json
        raise refusal(answer, self._options.rules)

    async def close(self, values: Mapping[str, Any], secret: Secret | None) -> Closed:
        """Close, and prove it: by the answer, or by status or list, whatever the answer was. Without proof, raises
        NotClosed or the failure of the call."""
        return await closed_or_ended(self._closed(values, secret), lambda _: self._ended(values, secret))

    async def items(self, secret: Secret | None) -> Sequence[Any]:
        """Return the items that the list shows as live. Raises CannotAsk if no list is configured."""
        table = self._options.list
        if table is None:
            raise CannotAsk("there is no list of sessions in the configuration")
        call = table.call(self._options.base_url, {}, secret, self._options.read_timeout_seconds)
        answer = await ask_reading(self._http, replace(call, most_bytes=self._options.max_list_bytes))
        items = table.live(answer.json) if _succeeded(answer, table) else None
        if items is not None and table.is_whole(answer.json):
            return items
        if items is not None:
            raise OutcomeUnknown("the list shows fewer entries than its total: it has pages")
        if _succeeded(answer, table):
            raise OutcomeUnknown(f"no list of sessions: {describe(answer)}")
        raise refusal(answer, self._options.rules)

    async def _closed(self, values: Mapping[str, Any], secret: Secret | None) -> Closed:
        """Send the close and judge its answer. A platform may accept a close and continue: where its status can be
        asked, a success alone is no proof."""
        if not self._closing.placeholders <= values.keys():
            raise NotClosed("its handle is not known, and the close needs it")
        timeout = self._options.close_call_seconds
        call = self._closing.call(self._options.base_url, values, secret, timeout)
        answer = await ask_changing(self._http, call)
        handle = values.get("handle")
        if _succeeded(answer, self._closing):
            if self._options.status is not None and self._options.confirm_close:
                raise NotClosed("the close was accepted")
            proof = f"the platform answered HTTP {answer.status} to the close"
            return Closed(proof=proof, closed_handle=handle)
        if verdict_of(answer, self._options.rules) is Verdict.GONE:
            return Closed(proof=f"already gone: {describe(answer)}", closed_handle=handle)
        raise NotClosed(describe(answer))

    async def _ended(self, values: Mapping[str, Any], secret: Secret | None) -> Closed:
        """Return the status after the close; where that cannot be asked, the list's result."""
        try:
            life, said, _ = await self.status(values, secret)
        except CannotAsk:
            return await self._unlisted(values.get("handle"), secret)
        if life not in ENDED:
            raise NotClosed(f"its status is still: {said}")
        return Closed(proof=f"its status after the close: {said}", closed_handle=values.get("handle"))

    async def _unlisted(self, handle: str | None, secret: Secret | None) -> Closed:
        table = self._options.list
        if table is None or handle is None:
            raise CannotAsk("no answer shows whether it has ended")
        if handle in {read_text(item, table.handle) for item in await self.items(secret)}:
            raise NotClosed("it is still listed")
        return Closed(proof=f"{handle} is not listed after the close", closed_handle=handle)

    def _askable(self, values: Mapping[str, Any]) -> StatusTable:
        table = self._options.status
        if table is None or not table.placeholders <= values.keys():
            raise CannotAsk("its status cannot be asked")
        return table

    def _not_opened(self, answer: Response) -> ProviderError:
        """Return what an answer without a session means. It is definite if the configuration says so, or if it refuses
        the request itself; else the outcome is unknown."""
        said = describe(answer)
        means = self._options.meaning(answer)
        if means == "full":
            return ProviderFull(said)
        if means in (None, "transient", "loading"):
            conflict = (
                answer.status == 409 and self._options.names_create
            )  # the conflict may be with our own lost open
            if may_have_happened(answer) or conflict:
                return OutcomeUnknown(said)
        return refusal(answer, self._options.rules)


def _succeeded(answer: Response, table: Any) -> bool:
    return answer.status in table.success_statuses and is_readable(answer)
