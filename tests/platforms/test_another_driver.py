"""Another driver is one file, like the upper half of this one, and one line; contract and stories run for it."""

from collections.abc import Iterator

import pytest

from orchestrator.providers import registry
from orchestrator.providers.chat.ping import Dialect, Pinger
from orchestrator.providers.http.client import Call, HttpClient
from orchestrator.providers.port.card import ALWAYS_ON, Card
from orchestrator.providers.port.driver import Auth, Endpoint, Order, Placed, Probe, Target
from orchestrator.providers.port.errors import ModelMissing
from orchestrator.providers.shared.always_on import AlwaysOn
from orchestrator.providers.shared.driver_type import DriverType
from orchestrator.providers.shared.lifecycle import ask_reading, listed_models
from orchestrator.providers.shared.options import DriverOptions
from orchestrator.simulator import SimulatorServer
from tests.drivers import PlatformUnderTest
from tests.platforms.conftest import MakeWorld
from tests.platforms.test_stories import run_life_cycle
from tests.providers import conftest, test_contract, test_contract_probe
from tests.providers.stage import Stage, holds_for, stage_of

# the file


class TinyOptions(DriverOptions):
    auth: Auth = Auth.BEARER


class TinyDriver(AlwaysOn):
    """An endpoint that is always there."""

    def __init__(self, name: str, options: TinyOptions, http: HttpClient) -> None:
        self.name, self.card = name, card(options)
        self._options, self._http, self._pinger = options, http, Pinger(http)

    async def open(self, order: Order) -> Placed:
        url, seconds = self._options.url("/models"), self._options.read_timeout_seconds
        call = Call(
            method="GET", url=url, auth=self._options.auth, secret=order.secret, timeout_seconds=seconds
        )
        if order.model not in {
            entry.get("id") for entry in listed_models(await ask_reading(self._http, call))
        }:
            raise ModelMissing(f"{self.name} does not list the model {order.model}")
        ref = order.secret.ref if order.secret else None
        endpoint = Endpoint(
            url=self._options.base_url, model=order.model, auth=self._options.auth, secret_ref=ref
        )
        return Placed(handle=order.placement_id, endpoint=endpoint)

    async def probe(self, target: Target) -> Probe:
        assert target.endpoint is not None
        return await self._pinger.probe(target, target.endpoint, Dialect())


def card(_options: TinyOptions) -> Card:
    return Card(lifecycle=ALWAYS_ON)


# the line, and the tests' data

TINY = PlatformUnderTest(driver="tiny", kind="openai", open_operation="models", opens=False)


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    drivers = dict(registry.DRIVERS)
    registry.DRIVERS = {**drivers, "tiny": DriverType(TinyOptions, TinyDriver, card)}
    yield
    registry.DRIVERS = drivers


# and what comes with it

server = conftest.server


@pytest.fixture
def stage(server: SimulatorServer) -> Stage:
    """Return the driver under the contract, before a server of the commonest kind."""
    server.reset()
    return stage_of(server, TINY)


@pytest.fixture
def opener(stage: Stage) -> Stage:
    return stage


for _suite in (test_contract, test_contract_probe):
    for _name, _test in vars(_suite).items():
        if not _name.startswith("test_") or not {"stage", "opener"} & set(_test.__code__.co_varnames):
            continue
        if holds_for(getattr(_test, "pytestmark", ()), card(TinyOptions(base_url="http://up.invalid/v1"))):
            globals()[_name] = _test


def test_its_sessions_live_like_all_others(make_platforms: MakeWorld) -> None:
    run_life_cycle(make_platforms(TINY), TINY)
