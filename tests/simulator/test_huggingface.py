"""Dedicated endpoints behind a control API, as a client sees them."""

from typing import Any

import httpx
import pytest

from orchestrator.simulator import SimulatorServer
from tests.simulator.conftest import HandClock, ping_body

KEY = {"Authorization": "Bearer hf_one"}


class Namespace:
    """The calls of a customer of the platform."""

    def __init__(self, server: SimulatorServer, http: httpx.Client, **options: Any) -> None:
        url = server.add_upstream("hub", "huggingface", ["hf_one"], ["llama", "qwen"], **options)
        self.http, self.endpoints = http, f"{url}/v2/endpoint/team"

    def create(self, name: str = "mine", **changes: Any) -> httpx.Response:
        body = {
            "name": name,
            "type": "protected",
            "provider": {"vendor": "aws", "region": "us-east-1"},
            "compute": {
                "accelerator": "gpu",
                "instanceType": "nvidia-l4",
                "instanceSize": "x1",
                "scaling": {"minReplica": 0, "maxReplica": 1, "scaleToZeroTimeout": 15},
            },
            "model": {"repository": "llama", "framework": "pytorch", "image": {"huggingface": {}}},
        }
        return self.http.post(self.endpoints, headers=KEY, json={**body, **changes})

    def show(self, name: str = "mine") -> httpx.Response:
        return self.http.get(f"{self.endpoints}/{name}", headers=KEY)

    def state(self, name: str = "mine") -> str:
        return str(self.show(name).json()["status"]["state"])

    def names(self) -> list[str]:
        return [one["name"] for one in self.http.get(self.endpoints, headers=KEY).json()["items"]]

    def delete(self, name: str = "mine") -> httpx.Response:
        return self.http.delete(f"{self.endpoints}/{name}", headers=KEY)

    def chat(self, url: str, model: str = "llama") -> httpx.Response:
        return self.http.post(f"{url}/v1/chat/completions", headers=KEY, json=ping_body(model))


@pytest.fixture
def namespace(server: SimulatorServer, http: httpx.Client) -> Namespace:
    return Namespace(server, http)


def test_an_endpoint_is_created_serves_and_goes(namespace: Namespace, server: SimulatorServer) -> None:
    made = namespace.create().json()
    assert (made["status"]["state"], made["model"]["repository"]) == ("running", "llama")
    assert namespace.names() == ["mine"]
    url = made["status"]["url"]
    assert namespace.chat(url).status_code == 200
    assert namespace.chat(url, "qwen").status_code == 404
    assert namespace.delete().status_code == 202
    assert (namespace.show().status_code, namespace.delete().status_code) == (404, 404)
    assert namespace.chat(url).status_code == 404
    assert (namespace.names(), server.open_sessions()) == ([], [])


def test_a_name_is_unique_and_free_again_once_it_is_deleted(
    namespace: Namespace, server: SimulatorServer
) -> None:
    namespace.create()
    assert namespace.create().status_code == 409
    namespace.delete()
    assert namespace.create().status_code == 200
    assert [one.id for one in server.sessions()] == ["mine", "mine~2"]
    assert server.report().double_opens == 0


@pytest.mark.parametrize(
    ("changes", "status", "said"),
    [
        pytest.param({"name": "Mine"}, 400, "lower case", id="capital letters"),
        pytest.param({"name": "m" * 33}, 400, "at most 32", id="too long"),
        pytest.param({"provider": {"vendor": "aws"}}, 422, "provider.region", id="a field is missing"),
        pytest.param(
            {"model": {"repository": "none", "framework": "pytorch", "image": {"huggingface": {}}}},
            400,
            "Repository none not found",
            id="a repository that is not there",
        ),
    ],
)
def test_a_create_is_checked(namespace: Namespace, changes: dict[str, Any], status: int, said: str) -> None:
    answer = namespace.create(**changes)
    assert answer.status_code == status
    assert said in answer.json()["error"]


def test_another_namespace_is_forbidden(namespace: Namespace) -> None:
    other = namespace.endpoints.replace("/team", "/theirs")
    assert namespace.http.get(other, headers=KEY).status_code == 403
    assert namespace.http.get(namespace.endpoints).status_code == 401


def test_an_endpoint_deploys_fails_is_paused_and_sleeps(
    server: SimulatorServer, http: httpx.Client, clock: HandClock
) -> None:
    namespace = Namespace(
        server, http, deploy=[["pending", 5], ["initializing", 10]], url_after=8, fails={"qwen": "no memory"}
    )
    assert "url" not in namespace.create().json()["status"]
    assert namespace.state() == "pending"
    clock.advance(9)
    url = namespace.show().json()["status"]["url"]
    assert (namespace.state(), namespace.chat(url).status_code) == ("initializing", 503)
    clock.advance(7)
    assert (namespace.state(), namespace.chat(url).status_code) == ("running", 200)
    clock.advance(15 * 60)
    assert namespace.state() == "scaledToZero"
    assert (namespace.chat(url).status_code, namespace.chat(url).status_code) == (503, 200)
    server.end_session("mine", "expired")
    assert (namespace.state(), namespace.chat(url).json()) == (
        "paused",
        {"error": "Bad Request: Invalid state"},
    )
    namespace.create(
        "other", model={"repository": "qwen", "framework": "pytorch", "image": {"huggingface": {}}}
    )
    clock.advance(16)
    assert namespace.show("other").json()["status"]["message"] == "no memory"


def test_a_quota_and_its_lags(server: SimulatorServer, http: httpx.Client, clock: HandClock) -> None:
    namespace = Namespace(server, http, quota=1, list_lag=5, delete_lag=5)
    namespace.create()
    assert (namespace.names(), namespace.show().status_code) == ([], 200)
    assert "Quota exceeded" in namespace.create("other").json()["error"]
    clock.advance(6)
    namespace.delete()
    assert namespace.names() == ["mine"]
    clock.advance(6)
    assert namespace.names() == []
    assert namespace.create("other").status_code == 200
