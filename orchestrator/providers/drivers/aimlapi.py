"""AIMLAPI: always-on models behind one key, with a list of models, a check of the key, and a balance.

Nothing is created upstream. A model in the list is listed, which does not prove that it works: the first ping does."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from pydantic import Field

from orchestrator.providers.chat.ping import Dialect, Pinger
from orchestrator.providers.http.client import Call, HttpClient
from orchestrator.providers.port.answers import Response
from orchestrator.providers.port.card import ALWAYS_ON, Card, IdentityCard
from orchestrator.providers.port.driver import Auth, Balance, Endpoint, Order, Placed, Probe, Secret, Target
from orchestrator.providers.port.errors import CredentialRefused, Misconfigured, ModelMissing, OutOfBalance
from orchestrator.providers.port.faults import Rule, has_error
from orchestrator.providers.shared.always_on import AlwaysOn
from orchestrator.providers.shared.driver_type import DriverType
from orchestrator.providers.shared.lifecycle import ask_reading, listed_models, refusal
from orchestrator.providers.shared.numbers import read_decimal
from orchestrator.providers.shared.options import DriverOptions
from orchestrator.providers.shared.patterns import URL

#: The exact price of one ping, in dollars.
COST_HEADER = "x-aimlapi-usd-spent"

#: The limit's `retention` → the field with the amount spent since the limit was last reset.
_USAGE = {"day": "daily_usage", "week": "weekly_usage", "month": "monthly_usage"}


class AimlapiOptions(DriverOptions):
    check_models: bool = True
    check_key: bool = True
    """Off where a key may not ask about itself: the first ping finds out then."""
    billing_url: str | None = Field(default=None, pattern=URL)
    """Beside `base_url` by default: `/v2/billing` in place of its `/v1`."""
    low_balance_below: Decimal = Field(default=Decimal(5), ge=0)


class AimlapiDriver(AlwaysOn):
    """One AIMLAPI account, under any of its keys."""

    def __init__(self, name: str, options: AimlapiOptions, http: HttpClient) -> None:
        self.name = name
        self.card = card(options)
        self.low_balance_below = options.low_balance_below
        self._options = options
        self._http = http
        self._pinger = Pinger(http)
        self._dialect = Dialect(
            rules=options.rules,
            most_tokens=options.ping_most_tokens,
            cost_header=COST_HEADER,
            looks=options.looks,
        )

    async def open(self, order: Order) -> Placed:
        secret = _needed(order.secret)
        if self._options.check_models:
            await self._check_model(order.model)
        if self._options.check_key:
            _check_key(await self._ask(self._options.url("/key"), secret), self._options.rules)
        return Placed(handle=order.placement_id, endpoint=self._endpoint(order.model, secret))

    async def probe(self, target: Target) -> Probe:
        endpoint = target.endpoint or self._endpoint(target.model, target.secret)
        return await self._pinger.probe(target, endpoint, self._dialect)

    async def check(self, secret: Secret | None) -> str:
        _check_key(await self._ask(self._options.url("/key"), _needed(secret)), self._options.rules)
        return "the key is valid"

    async def balance(self, secret: Secret | None) -> Balance:
        answer = await self._ask(self._billing_url(), _needed(secret))
        body = _good(answer, self._options.rules)
        amount = read_decimal(body.get("current_balance"))
        if amount is None:
            raise Misconfigured(f"{self.name} sent no current_balance at {self._billing_url()}")
        return Balance(amount=amount, currency=str(body.get("currency") or "USD"))

    async def _check_model(self, model: str) -> None:
        """Check that the platform lists the model. The list needs no key, so the call sends none."""
        answer = await self._ask(self._options.url("/models"), None, self._options.max_list_bytes)
        entries = listed_models(answer, self._options.rules)
        if not any(model in _names(entry) for entry in entries):
            raise ModelMissing(f"{self.name} does not list the model {model}")

    async def _ask(self, url: str, secret: Secret | None, most_bytes: int | None = None) -> Response:
        call = Call(
            method="GET",
            url=url,
            timeout_seconds=self._options.read_timeout_seconds,
            most_bytes=most_bytes,
            auth=Auth.BEARER,
            secret=secret,
        )
        return await ask_reading(self._http, call)

    def _billing_url(self) -> str:
        beside = self._options.base_url.rstrip("/").removesuffix("/v1") + "/v2/billing"
        return self._options.billing_url or beside

    def _endpoint(self, model: str, secret: Secret | None) -> Endpoint:
        return Endpoint(
            url=self._options.base_url,
            model=model,
            auth=Auth.BEARER,
            secret_ref=secret.ref if secret else None,
        )


def card(_options: AimlapiOptions) -> Card:
    return Card(lifecycle=ALWAYS_ON, identity=IdentityCard(needs_credential=True))


def _names(entry: Mapping[str, Any]) -> set[str]:
    """Return the id and every alias of a model. The aliases' place differs between types of models."""
    info = entry.get("info")
    given = [entry.get("aliases"), info.get("aliases") if isinstance(info, Mapping) else None]
    aliases = (alias for some in given if isinstance(some, Sequence) for alias in some)
    return {str(entry.get("id")), *(alias for alias in aliases if isinstance(alias, str))}


def _check_key(answer: Response, rules: Sequence[Rule]) -> None:
    """Refuse a key that is disabled or has spent its limit: its first ping would fail."""
    body = _good(answer, rules)
    key = body["data"] if isinstance(body.get("data"), Mapping) else body
    if key.get("disabled") is True:
        raise CredentialRefused("the platform says that this key is disabled")
    limit = key.get("limit")
    if not isinstance(limit, Mapping):
        return
    most = read_decimal(limit.get("threshold"))
    spent = read_decimal(key.get(_USAGE.get(str(limit.get("retention")), "")))
    if most is not None and spent is not None and spent >= most:
        raise OutOfBalance(f"this key has spent {spent} of its limit of {most} per {limit['retention']}")


def _good(answer: Response, rules: Sequence[Rule]) -> Mapping[str, Any]:
    body = answer.json
    if answer.status != 200 or has_error(answer) or not isinstance(body, Mapping):
        raise refusal(answer, rules)
    return body


def _needed(secret: Secret | None) -> Secret:
    if secret is None:
        raise Misconfigured("AIMLAPI needs a credential")
    return secret


TYPE = DriverType(AimlapiOptions, AimlapiDriver, card)
