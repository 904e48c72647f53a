"""The control API of Inference Endpoints: create, show, list, delete."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NoReturn
from urllib.parse import quote

from orchestrator.providers.drivers.huggingface.options import HuggingFaceOptions
from orchestrator.providers.http.client import Call, HttpClient
from orchestrator.providers.port.answers import Response
from orchestrator.providers.port.driver import Auth, Life, Secret
from orchestrator.providers.port.errors import Misconfigured, OutcomeUnknown, ProviderFull
from orchestrator.providers.port.faults import describe, read_fault, rule
from orchestrator.providers.port.secrets import beginning, brief
from orchestrator.providers.shared.lifecycle import (
    ask_changing,
    ask_reading,
    may_have_happened,
    refusal,
    without_proof,
)
from orchestrator.providers.shared.paths import read_path, read_text, read_time
from orchestrator.rules.values import Verdict

_LIVES: Mapping[str, Life] = {
    "pending": Life.STARTING,
    "initializing": Life.STARTING,
    "updating": Life.DEGRADED,
    "updateFailed": Life.DEGRADED,
    "running": Life.RUNNING,
    "scaledToZero": Life.ASLEEP,
    "paused": Life.STOPPED,
    "failed": Life.FAILED,
}
#: A create that names a repository that is not there.
_NO_REPOSITORY = rule(
    Verdict.GONE, (400, 404, 422), r"\brepository\b.*(?:not (?:be )?found|does not exist|not exist)"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class HostedEndpoint:
    """One endpoint, as the platform shows it."""

    name: str
    state: str
    life: Life
    url: str | None
    created_at: datetime | None
    message: str

    @property
    def said(self) -> str:
        """Its state for people."""
        return f"{self.name} is {self.state}{f' ({self.message})' if self.message else ''}"


class HuggingFaceControl:
    """Sends the calls of `/v2/endpoint/{namespace}`."""

    def __init__(self, http: HttpClient, options: HuggingFaceOptions) -> None:
        self._http = http
        self._options = options
        self._rules = (*options.rules, _NO_REPOSITORY)

    async def create(
        self, secret: Secret | None, body: Mapping[str, Any], timeout_seconds: float
    ) -> HostedEndpoint | None:
        """Create an endpoint. Return None if its name is taken: names are unique. Raises what `Driver.open` may
        raise."""
        answer = await ask_changing(self._http, self._call("POST", "", secret, timeout_seconds, body))
        made = _endpoint(answer.json, answer.hidden) if 200 <= answer.status < 300 else None
        if made is not None and made.name == body["name"]:
            return made
        if answer.status == 409:
            return None
        raise self._refused(answer)

    async def show(self, secret: Secret | None, name: str) -> HostedEndpoint | None:
        """Return the endpoint of this name. Return None only where the list lacks it too: a 404 alone may mean a wrong
        address. Raises what a bad answer means."""
        seconds = self._options.read_timeout_seconds
        answer = await ask_reading(self._http, self._call("GET", f"/{quote(name, safe='')}", secret, seconds))
        found = _endpoint(answer.json, answer.hidden) if answer.status == 200 else None
        if found is not None and found.name == name:
            return found
        if answer.status == 404:
            return next((one for one in await self.list(secret) if one.name == name), None)
        raise refusal(answer, self._options.rules)

    async def list(self, secret: Secret | None) -> Sequence[HostedEndpoint]:
        """Return every endpoint of the namespace. Raises what a bad answer means."""
        answer = await ask_reading(
            self._http, self._call("GET", "", secret, self._options.read_timeout_seconds)
        )
        items = read_path(answer.json, "items") if answer.status == 200 else None
        if not isinstance(items, list):
            raise refusal(answer, self._options.rules)
        found = [_endpoint(item, answer.hidden) for item in items]
        if None in found:
            raise Misconfigured("the list has an endpoint without name or state")
        return [one for one in found if one is not None]

    async def delete(self, secret: Secret | None, name: str, timeout_seconds: float) -> NoReturn:
        """Delete an endpoint. Always raises, as no answer is a proof: OutcomeUnknown without a readable answer or after
        a server error, else NotClosed."""
        call = self._call("DELETE", f"/{quote(name, safe='')}", secret, timeout_seconds)
        answer = await ask_changing(self._http, call)
        without_proof(answer)

    def _call(
        self, method: str, path: str, secret: Secret | None, timeout_seconds: float, json: Any = None
    ) -> Call:
        return Call(
            method=method,
            url=f"{self._options.endpoints_url}/{quote(self._options.namespace, safe='')}{path}",
            timeout_seconds=timeout_seconds,
            auth=Auth.BEARER,
            secret=secret,
            json=json,
            most_bytes=self._options.max_list_bytes if method == "GET" and not path else None,
            fresh=method != "GET",
        )

    def _refused(self, answer: Response) -> Exception:
        said, text = describe(answer), read_fault(answer).text.lower()
        if may_have_happened(answer):
            return OutcomeUnknown(said)
        guessed = answer.status not in (401, 404) and any(
            words.lower() in text for words in self._options.full_texts
        )
        if self._options.meaning(answer) == "full" or (guessed and not _names_money(text)):
            return ProviderFull(said)
        return refusal(answer, self._rules)


def _names_money(text: str) -> bool:
    return any(word in text for word in ("credit", "balance", "billing", "payment"))


def _endpoint(entry: Any, hidden: Sequence[str]) -> HostedEndpoint | None:
    name, state = read_text(entry, "name"), read_text(entry, "status.state")
    if name is None or state is None:
        return None
    message = read_text(entry, "status.errorMessage") or read_text(entry, "status.message") or ""
    return HostedEndpoint(
        name=name,
        state=brief(state, hidden),
        life=_LIVES.get(state, Life.UNKNOWN),
        url=read_text(entry, "status.url"),
        created_at=read_time(entry, "status.createdAt"),
        message=beginning(message, hidden, 100),
    )
