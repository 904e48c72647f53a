"""A simulator on a real port, a clock moved by hand, and a plain HTTP client."""

import random
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from orchestrator.simulator import Simulator, SimulatorServer
from orchestrator.simulator.server import ModelLike


class HandClock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


class Gateway:
    """The calls of a client of a Morpheus gateway."""

    def __init__(self, http: httpx.Client, base_url: str, key: str = "sk-one") -> None:
        self.http = http
        self.base_url = base_url
        self.headers = {"Authorization": f"Bearer {key}"}

    def post(self, path: str, **more: Any) -> httpx.Response:
        return self.http.post(f"{self.base_url}{path}", headers=self.headers, **more)

    def open(self, model: str = "llama", duration: Any = 3600) -> httpx.Response:
        body = {"sessionDuration": duration, "directPayment": False, "failover": False}
        return self.post("/session/modelsession", params={"model_id": model}, json=body)

    def open_bid(self, bid: str = "0xb1d") -> httpx.Response:
        body = {"sessionDuration": 3600}
        return self.post("/session/bidsession", params={"bid_id": bid}, json=body)

    def opened(self, model: str = "llama") -> str:
        return str(self.open(model).json()["session_id"])

    def ping(self) -> httpx.Response:
        return self.post("/session/pingsession")

    def close(self) -> httpx.Response:
        return self.post("/session/closesession")

    def chat(self, session: str | None = None, **more: Any) -> httpx.Response:
        named = {} if session is None else {"session_id": session}
        return self.post("/chat/completions", json={**ping_body("llama"), **named, **more})


def ping_body(model: str, **more: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": "ping"}]
    return {"model": model, "messages": messages, "max_tokens": 16, "stream": False, **more}


def outcome(act: Callable[[], httpx.Response]) -> Any:
    """Return the client's result: the JSON of a success, or None."""
    try:
        answer = act()
        return answer.json() if answer.is_success else None
    except (httpx.TransportError, ValueError):
        return None


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def server(clock: HandClock) -> Iterator[SimulatorServer]:
    with SimulatorServer(Simulator(clock=clock, rng=random.Random(7))) as running:
        yield running


@pytest.fixture
def http() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=5, trust_env=False) as client:
        yield client


@pytest.fixture
def openai_url(server: SimulatorServer) -> str:
    models: list[ModelLike] = [
        "llama",
        {"id": "thinker", "reasoning": True},
        {"id": "whisper", "type": "ASR"},
    ]
    return server.add_upstream("alpha", "openai", ["sk-one"], models)


@pytest.fixture
def gateway(server: SimulatorServer, http: httpx.Client) -> Gateway:
    models = [{"id": "llama", "blockchain_id": "0xaa"}, {"id": "qwen", "blockchain_id": "0xbb"}]
    return Gateway(http, server.add_upstream("morpheus", "morpheus", ["sk-one", "sk-two"], models))
