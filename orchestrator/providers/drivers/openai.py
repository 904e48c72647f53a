"""Any OpenAI-compatible server (vLLM, LiteLLM, llama.cpp, …): a lease on an always-on endpoint.

Nothing is created upstream: an open checks that the model is listed, a close is local.
"""

from typing import Annotated, Literal

from pydantic import Field

from orchestrator.providers.chat.ping import Dialect, Pinger
from orchestrator.providers.http.client import Call, HttpClient
from orchestrator.providers.port.answers import Response
from orchestrator.providers.port.card import ALWAYS_ON, Card
from orchestrator.providers.port.driver import Auth, Endpoint, Order, Placed, Probe, Secret, Target
from orchestrator.providers.port.errors import ModelMissing
from orchestrator.providers.shared.always_on import AlwaysOn
from orchestrator.providers.shared.driver_type import DriverType
from orchestrator.providers.shared.lifecycle import ask_reading, listed_models
from orchestrator.providers.shared.looks import LOOK_PATH, SERVER_LOOKS
from orchestrator.providers.shared.options import DriverOptions
from orchestrator.rules.text import numbered

#: Answers that say "no such list here"; the first good ping is the proof then.
_NO_LIST = frozenset({404, 405, 501})


class OpenAIOptions(DriverOptions):
    auth: Literal[Auth.BEARER, Auth.X_API_KEY, Auth.BOTH, Auth.NONE] = Auth.BEARER
    check_models: bool = True
    looks: tuple[Annotated[str, Field(pattern=LOOK_PATH)], ...] = SERVER_LOOKS


class OpenAIDriver(AlwaysOn):
    """A driver for one OpenAI-compatible server."""

    def __init__(self, name: str, options: OpenAIOptions, http: HttpClient) -> None:
        self.name = name
        self.card = card(options)
        self._options = options
        self._http = http
        self._pinger = Pinger(http)
        self._dialect = Dialect(
            rules=options.rules, most_tokens=options.ping_most_tokens, looks=options.looks
        )

    async def open(self, order: Order) -> Placed:
        if self._options.check_models:
            await self._check(order.model, order.secret)
        return Placed(handle=order.placement_id, endpoint=self._endpoint(order.model, order.secret))

    async def probe(self, target: Target) -> Probe:
        endpoint = target.endpoint or self._endpoint(target.model, target.secret)
        return await self._pinger.probe(target, endpoint, self._dialect)

    async def check(self, secret: Secret | None) -> str:
        answer = await self._models(secret)
        return (
            "no list of models"
            if answer.status in _NO_LIST
            else f"{numbered(len(listed_models(answer, self._options.rules)), 'model')} listed"
        )

    async def _check(self, model: str, secret: Secret | None) -> None:
        answer = await self._models(secret)
        if answer.status in _NO_LIST:
            return
        if not any(entry.get("id") == model for entry in listed_models(answer, self._options.rules)):
            raise ModelMissing(f"{self.name} does not list the model {model}")

    async def _models(self, secret: Secret | None) -> Response:
        call = Call(
            method="GET",
            url=self._options.url("/models"),
            timeout_seconds=self._options.read_timeout_seconds,
            most_bytes=self._options.max_list_bytes,
            auth=self._options.auth,
            secret=secret,
        )
        return await ask_reading(self._http, call)

    def _endpoint(self, model: str, secret: Secret | None) -> Endpoint:
        """Return the endpoint. Without a credential, the user needs none either."""
        auth = self._options.auth if secret else Auth.NONE
        return Endpoint(
            url=self._options.base_url,
            model=model,
            auth=auth,
            secret_ref=secret.ref if secret and auth is not Auth.NONE else None,
        )


def card(_options: OpenAIOptions) -> Card:
    return Card(lifecycle=ALWAYS_ON)


TYPE = DriverType(OpenAIOptions, OpenAIDriver, card)
