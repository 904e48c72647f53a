"""Sesterce's control API: the fields of an instance, and the five calls that are known."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NoReturn

from orchestrator.providers.drivers.sesterce.options import SesterceOptions
from orchestrator.providers.http.client import Call, HttpClient
from orchestrator.providers.port.answers import Response
from orchestrator.providers.port.driver import Auth, Life, Secret
from orchestrator.providers.port.errors import Misconfigured, OutcomeUnknown, ProviderFull
from orchestrator.providers.port.faults import Rule, describe, read_fault
from orchestrator.providers.port.secrets import beginning, brief
from orchestrator.providers.shared.lifecycle import (
    ask_changing,
    ask_reading,
    may_have_happened,
    refusal,
    without_proof,
)
from orchestrator.providers.shared.numbers import read_decimal

_LIVES: Mapping[str, Life] = {
    "NEW": Life.STARTING,
    "DEPLOYING": Life.STARTING,
    "ACTIVE": Life.RUNNING,
    "PARTIALLYDEPLOYED": Life.DEGRADED,
    "DISABLED": Life.STOPPED,
    "ERROR": Life.FAILED,
    "FAILED": Life.FAILED,
    "DELETING": Life.GONE,
    "DELETED": Life.GONE,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Instance:
    """One instance, as the list shows it."""

    id: str
    name: str
    status: str
    life: Life
    address: str | None
    price_per_hour: Decimal | None
    created_at: datetime | None
    errors: str

    @property
    def said(self) -> str:
        """Its status for people."""
        return f"{self.id} is {self.status}{f' ({self.errors})' if self.errors else ''}"


class SesterceControl:
    """Sends the calls of `/ai-inference/instances`. There is no call for a single instance, so the list is filtered."""

    def __init__(self, http: HttpClient, options: SesterceOptions) -> None:
        self._http = http
        self._options = options

    async def list(self, secret: Secret | None) -> Sequence[Instance]:
        """Return every instance of the account. Raises what a bad answer means: asking changes nothing."""
        answer = await ask_reading(
            self._http, self._call("GET", "", secret, self._options.read_timeout_seconds)
        )
        pending = Life.ASLEEP if self._options.pending_means == "asleep" else Life.STARTING
        return [_instance(entry, pending, answer.hidden) for entry in _entries(answer, self._options.rules)]

    async def create(self, secret: Secret | None, body: Mapping[str, Any], timeout_seconds: float) -> str:
        """Create one and return its id. Raises what `Driver.open` may raise."""
        answer = await ask_changing(self._http, self._call("POST", "", secret, timeout_seconds, body))
        made = _id(answer.json) if 200 <= answer.status < 300 else None
        if made is None:
            raise _refused(answer, self._options)
        return made

    async def start(self, secret: Secret | None, instance_id: str, timeout_seconds: float) -> None:
        """Start a stopped one. Raises what `Driver.open` may raise."""
        call = self._call("POST", f"/{instance_id}/start", secret, timeout_seconds)
        answer = await ask_changing(self._http, call)
        if not 200 <= answer.status < 300:
            raise _refused(answer, self._options)

    async def end(self, secret: Secret | None, instance_id: str, timeout_seconds: float) -> NoReturn:
        """Stop or delete an instance. Its answer is never the proof: raises NotClosed, or OutcomeUnknown without an
        answer."""
        if self._options.on_close == "delete":
            call = self._call("DELETE", f"/{instance_id}", secret, timeout_seconds)
        else:
            call = self._call("POST", f"/{instance_id}/stop", secret, timeout_seconds)
        answer = await ask_changing(self._http, call)
        without_proof(answer)

    def _call(
        self, method: str, path: str, secret: Secret | None, timeout_seconds: float, json: Any = None
    ) -> Call:
        return Call(
            method=method,
            url=f"{self._options.control_url.rstrip('/')}/ai-inference/instances{path}",
            timeout_seconds=timeout_seconds,
            auth=Auth.X_API_KEY,
            secret=secret,
            json=json,
            most_bytes=self._options.max_list_bytes if method == "GET" else None,
            fresh=method != "GET",
        )


def _refused(answer: Response, options: SesterceOptions) -> Exception:
    said, text = describe(answer), read_fault(answer).text.lower()
    if may_have_happened(answer):
        return OutcomeUnknown(said)
    guessed = answer.status not in (401, 403, 404) and any(
        word.lower() in text for word in options.full_texts
    )
    if options.meaning(answer) == "full" or guessed:
        return ProviderFull(said)
    return refusal(answer, options.rules)


def _entries(answer: Response, rules: Sequence[Rule]) -> Sequence[Mapping[str, Any]]:
    """Return the entries. Raises Misconfigured for a list that is not whole: an instance missing from it proves
    nothing."""
    body = answer.json
    entries = body
    if isinstance(body, Mapping):
        entries = next((body[key] for key in ("data", "instances", "items") if key in body), None)
        total = body.get("total", body.get("totalCount"))
        if isinstance(entries, list) and isinstance(total, int) and total > len(entries):
            raise Misconfigured(f"the list shows {len(entries)} of {total} instances: it has pages")
    if answer.status != 200 or not isinstance(entries, list):
        raise refusal(answer, rules)
    if any(_id(entry) is None for entry in entries):
        raise Misconfigured("the list has an instance without _id")
    return entries


def _id(entry: Any) -> str | None:
    value = entry.get("_id") if isinstance(entry, Mapping) else None
    return value if isinstance(value, str) and value else None


def _instance(entry: Mapping[str, Any], pending: Life, hidden: Sequence[str]) -> Instance:
    status = str(entry.get("status", "")).upper()
    life = pending if status == "PENDING" else _LIVES.get(status, Life.UNKNOWN)
    return Instance(
        id=str(entry["_id"]),
        name=str(entry.get("name") or ""),
        status=brief(status, hidden),
        life=life,
        address=_url(entry.get("address")),
        price_per_hour=read_decimal(entry.get("hourlyPrice")),
        created_at=_time(entry.get("createdAt")),
        errors=_errors(entry.get("containers"), hidden),
    )


def _url(address: Any) -> str | None:
    if not isinstance(address, str) or not address.strip("/ "):
        return None
    whole = address if "://" in address else f"https://{address}"
    return whole.rstrip("/").removesuffix("/v1") + "/v1"


def _time(value: Any) -> datetime | None:
    try:
        then = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return then if then.tzinfo else then.replace(tzinfo=UTC)


def _errors(containers: Any, hidden: Sequence[str]) -> str:
    given = containers if isinstance(containers, list) else []
    said = (one.get("errorMessage") for one in given if isinstance(one, Mapping))
    return "; ".join(dict.fromkeys(beginning(str(text), hidden, 100) for text in said if text))
