"""A driver before its simulated platform, over real HTTP; and the table of all of them."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import pytest

from orchestrator.providers import registry
from orchestrator.providers.http.client import ClientOptions, HttpClient
from orchestrator.providers.port.card import Card
from orchestrator.providers.port.driver import (
    Auth,
    Driver,
    Endpoint,
    NotPlaced,
    Order,
    Placed,
    Secret,
    Target,
)
from orchestrator.providers.port.errors import ModelMissing, ProviderFull, Refused
from orchestrator.rules.values import Attach, ModelType
from orchestrator.simulator import Call, SimulatorServer

T = TypeVar("T")

KEY, OTHER_KEY = "sk-planted-first", "sk-planted-second"
MODEL, OTHER_MODEL, EAR = "llama-3", "qwen-2", "whisper"
MODELS: tuple[str | dict[str, Any], ...] = (MODEL, OTHER_MODEL, {"id": EAR, "type": "ASR"})

#: The simulated node's own description.
WALLET = "0x" + "ab" * 20

#: The simulated studio's control API, as an operator would describe it.
TEMPLATE: dict[str, Any] = {
    "mode": "template",
    "names_create": True,
    "open": {
        "method": "POST",
        "url": "/sessions",
        "headers": {"authorization": "Bearer {secret}"},
        "body": {"name": "{name}", "model": "{model}", "duration_seconds": "{duration_seconds}"},
        "handle": "data.id",
        "endpoint_url": "data.endpoint.url",
        "endpoint_model": "data.endpoint.model",
        "ends_at": "data.endsAt",
    },
    "status": {
        "method": "GET",
        "url": "/sessions/{name}",
        "headers": {"authorization": "Bearer {secret}"},
        "status": "data.status",
        "words": {"Initializing": "starting", "Running": "running", "Failed": "gone", "Stopped": "stopped"},
        "handle": "data.id",
        "endpoint_url": "data.endpoint.url",
        "endpoint_model": "data.endpoint.model",
        "ends_at": "data.endsAt",
    },
    "close": {
        "method": "DELETE",
        "url": "/sessions/{handle}",
        "headers": {"authorization": "Bearer {secret}"},
    },
    "list": {
        "method": "GET",
        "url": "/sessions",
        "headers": {"authorization": "Bearer {secret}"},
        "items": "data.items",
        "handle": "data.id",
        "name": "data.name",
        "opened_at": "data.createdAt",
        "ends_at": "data.endsAt",
        "status": "data.status",
        "live_words": ["Initializing", "Running"],
        "total": "data.total",
    },
}


@dataclass(frozen=True, kw_only=True)
class PlatformUnderTest:
    """The contract's data of a platform. A new driver gets every test by one of these."""

    driver: str
    open_operation: str
    """The simulator's name of the request that an open waits for."""
    options: Mapping[str, Any] = field(default_factory=dict)
    url_option: str = "base_url"
    """The setting that holds the platform's address."""
    name: str = ""
    """The name of a variant, where one driver is under test in more than one way."""
    opens: bool = True
    """An open is a separate request, which can be refused or lost; otherwise the driver only reads."""
    opens_anew: bool = False
    """The identical open, sent again, opens another one: a lost answer must be resolved."""
    unknown_model: type[Refused] = ModelMissing
    """Its answer for a model that it does not serve."""
    ping_proves_close: bool = False
    """A session is closed where a close was answered and a ping says gone."""
    streams: bool = False
    """Its pings end with the first chunk of a stream: later chunks are not seen."""

    @property
    def id(self) -> str:
        return self.name or self.driver

    @property
    def card(self) -> Card:
        return registry.card(self.driver, {self.url_option: "http://127.0.0.1", **self.options})


PLATFORMS = (
    PlatformUnderTest(driver="openai", open_operation="models"),
    PlatformUnderTest(driver="aimlapi", open_operation="key"),
    PlatformUnderTest(
        driver="sesterce",
        open_operation="create",
        options={
            "on_open": "create",
            "on_close": "delete",
            "instance": {"hardwareName": "l40s"},
            "poll_seconds": 0.02,
        },
        url_option="control_url",
    ),
    PlatformUnderTest(
        driver="morpheus",
        open_operation="open",
        options={"close_retry_seconds": 0.01},
        ping_proves_close=True,
    ),
    PlatformUnderTest(
        driver="morpheus-node",
        open_operation="open",
        options={"user": WALLET, "open_within_seconds": 1, "list_lag_seconds": 0},
        opens_anew=True,
        unknown_model=ProviderFull,
        streams=True,
    ),
    PlatformUnderTest(
        name="fpt-attach", driver="fpt", open_operation="chat", options={"mode": "attach"}, opens=False
    ),
    PlatformUnderTest(name="fpt-template", driver="fpt", open_operation="open", options=TEMPLATE),
)


@dataclass(frozen=True)
class Stage:
    """One upstream named after its driver, and the means to speak to it."""

    server: SimulatorServer
    platform: PlatformUnderTest
    url: str

    @property
    def card(self) -> Card:
        return self.platform.card

    def play(self, story: Callable[[Driver], Awaitable[T]], **options: Any) -> T:
        """Run one story with a driver built for it."""

        async def on_loop() -> T:
            http = HttpClient(ClientOptions(max_body_bytes=64 * 1024))
            try:
                return await story(registry.build("up", self.platform.driver, self._options(options), http))
            finally:
                await http.aclose()

        return asyncio.run(on_loop())

    def open(self, **changes: Any) -> Placed:
        return self.play(lambda driver: driver.open(self.order(**changes)))

    def resolve(self, *, close: bool = False, **changes: Any) -> Placed | NotPlaced:
        return self.play(lambda driver: driver.resolve(self.order(**changes), close=close))

    def order(self, **changes: Any) -> Order:
        plain: dict[str, Any] = {
            "placement_id": "p-1",
            "name": "int.session-1",
            "model": MODEL,
            "model_type": ModelType.LLM,
            "nodes": 1,
            "duration_seconds": 3600,
            "secret": secret(),
            "sent_at": datetime.now(UTC) - timedelta(seconds=10),
        }
        return Order(**plain | self._attached(changes) | changes)

    def target(self, placed: Placed, **changes: Any) -> Target:
        plain: dict[str, Any] = {
            "placement_id": "p-1",
            "handle": placed.handle,
            "name": "int.session-1",
            "endpoint": placed.endpoint,
            "model": MODEL,
            "model_type": ModelType.LLM,
            "secret": secret(),
            "timeout_seconds": 5,
        }
        return Target(**plain | changes)

    def elsewhere(self, url: str) -> Target:
        """Return a target at an address without a platform."""
        return self.target(
            Placed(handle="h", endpoint=Endpoint(url=url, model=MODEL, auth=Auth.BEARER, secret_ref="r"))
        )

    def fault(self, name: str, operation: str = "chat", times: int | None = None, **params: Any) -> None:
        self.server.fault(name, upstream="up", operation=operation, times=times, **params)

    def calls(self, operation: str) -> list[Call]:
        return self.server.log(upstream="up", operation=operation)

    def _attached(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Return the part of an order where another system opens."""
        if not self.card.attaches:
            return {}
        attach = Attach(
            endpoint_url=f"{self.url}/chat/completions",
            secret_ref="env:KEY_1",
            model=changes.get("model", MODEL),
        )
        return {"attach": attach}

    def _options(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        given = {"base_url": self.url, **self.platform.options, **changes}
        return {self.platform.url_option if key == "base_url" else key: value for key, value in given.items()}


def stage_of(server: SimulatorServer, platform: PlatformUnderTest, **upstream: Any) -> Stage:
    """Return an empty world with the one upstream."""
    server.reset()
    url = server.add_upstream("up", platform.driver, [KEY, OTHER_KEY], MODELS, **upstream)
    return Stage(server, platform, url)


def where(can: Callable[[Card], bool]) -> pytest.MarkDecorator:
    """Run the test for each platform with a card of which this is true."""
    return pytest.mark.where.with_args(can)


def holds_for(marks: Iterable[pytest.Mark], card: Card) -> bool:
    return all(mark.args[0](card) for mark in marks if mark.name == "where")


def platform_of(name: str) -> PlatformUnderTest:
    return next(platform for platform in PLATFORMS if platform.id == name)


def secret(value: str = KEY) -> Secret:
    return Secret(ref="env:KEY_1", value=value)
