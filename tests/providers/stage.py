"""A driver before its simulated platform, over real HTTP."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
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
from orchestrator.rules.values import Attach, ModelType
from orchestrator.simulator import Call, SimulatorServer
from tests.drivers import MODEL, PlatformUnderTest

T = TypeVar("T")

KEY, OTHER_KEY = "sk-planted-first", "sk-planted-second"
OTHER_MODEL, EAR = "qwen-2", "whisper"
MODELS: tuple[str | dict[str, Any], ...] = (MODEL, OTHER_MODEL, {"id": EAR, "type": "ASR"})


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
        if not self.card.lifecycle.attaches:
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
    url = server.add_upstream("up", platform.kind or platform.driver, [KEY, OTHER_KEY], MODELS, **upstream)
    return Stage(server, platform, url)


def where(can: Callable[[Card], bool]) -> pytest.MarkDecorator:
    """Run the test for each platform with a card of which this is true."""
    return pytest.mark.where.with_args(can)


def holds_for(marks: Iterable[pytest.Mark], card: Card) -> bool:
    return all(mark.args[0](card) for mark in marks if mark.name == "where")


def secret(value: str = KEY) -> Secret:
    return Secret(ref="env:KEY_1", value=value)
