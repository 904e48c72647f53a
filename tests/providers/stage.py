"""A driver before its simulated platform, over real HTTP; and the table of all of them."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from orchestrator.providers import registry
from orchestrator.providers.driver import (
    Auth,
    Card,
    Driver,
    Endpoint,
    NotPlaced,
    Order,
    Placed,
    Secret,
    Target,
)
from orchestrator.providers.http import ClientOptions, HttpClient
from orchestrator.rules.values import ModelType
from orchestrator.simulator import Call, SimulatorServer

T = TypeVar("T")

KEY, OTHER_KEY = "sk-planted-first", "sk-planted-second"
MODEL, OTHER_MODEL, EAR = "llama-3", "qwen-2", "whisper"
MODELS: tuple[str | dict[str, Any], ...] = (MODEL, OTHER_MODEL, {"id": EAR, "type": "ASR"})


@dataclass(frozen=True, kw_only=True)
class PlatformUnderTest:
    """What the contract must know of a platform. A new driver gets every test by one of these."""

    driver: str
    open_operation: str
    """What the simulator calls the request that an open hangs on."""
    options: Mapping[str, Any] = field(default_factory=dict)


PLATFORMS = (
    PlatformUnderTest(driver="openai", open_operation="models"),
    PlatformUnderTest(driver="morpheus", open_operation="open", options={"close_retry_seconds": 0.01}),
)


@dataclass(frozen=True)
class Stage:
    """One upstream named after its driver, and what it takes to speak to it."""

    server: SimulatorServer
    platform: PlatformUnderTest
    url: str

    @property
    def card(self) -> Card:
        return registry.card(self.platform.driver, self._options({}))

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
        }
        return Order(**plain | changes)

    def target(self, placed: Placed, **changes: Any) -> Target:
        plain: dict[str, Any] = {
            "placement_id": "p-1",
            "handle": placed.handle,
            "endpoint": placed.endpoint,
            "model": MODEL,
            "model_type": ModelType.LLM,
            "secret": secret(),
            "timeout_seconds": 5,
        }
        return Target(**plain | changes)

    def elsewhere(self, url: str) -> Target:
        """A target at an address where no platform is."""
        return self.target(
            Placed(handle="h", endpoint=Endpoint(url=url, model=MODEL, auth=Auth.BEARER, secret_ref="r"))
        )

    def fault(self, name: str, operation: str = "chat", times: int | None = None, **params: Any) -> None:
        self.server.fault(name, upstream="up", operation=operation, times=times, **params)

    def calls(self, operation: str) -> list[Call]:
        return self.server.log(upstream="up", operation=operation)

    def _options(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        return {"base_url": self.url, **self.platform.options, **changes}


def stage_of(server: SimulatorServer, platform: PlatformUnderTest, **upstream: Any) -> Stage:
    """An empty world with the one upstream."""
    server.reset()
    url = server.add_upstream("up", platform.driver, [KEY, OTHER_KEY], MODELS, **upstream)
    return Stage(server, platform, url)


def platform_of(driver: str) -> PlatformUnderTest:
    return next(platform for platform in PLATFORMS if platform.driver == driver)


def secret(value: str = KEY) -> Secret:
    return Secret(ref="env:KEY_1", value=value)
