"""The control endpoint, and its answers to bad input."""

from typing import Any

import httpx
import pytest

from orchestrator.simulator import BadInput, SimulatorServer
from orchestrator.simulator.platforms import PLATFORMS
from tests.simulator.conftest import Gateway


@pytest.fixture
def control(http: httpx.Client, server: SimulatorServer) -> httpx.Client:
    http.base_url = f"{server.url}/control"
    return http


def test_a_world_is_arranged_over_http(control: httpx.Client, server: SimulatorServer) -> None:
    spec = {"kind": "openai", "keys": ["sk"], "models": ["llama"], "auth": "x-api-key"}
    made = control.put("/upstreams/alpha", json=spec).json()
    assert made == {"name": "alpha", "base_url": f"{server.url}/alpha/v1"}
    (listed,) = control.get("/upstreams").json()
    assert listed["auth"] == "x-api-key"
    assert listed["base_url"] == made["base_url"]
    assert listed["models"][0]["id"] == "llama"
    answer = control.get(f"{made['base_url']}/models", headers={"x-api-key": "sk"})
    assert answer.json()["data"][0]["id"] == "llama"


@pytest.mark.parametrize("kind", sorted(PLATFORMS))
def test_every_kind_of_upstream_can_be_listed(
    control: httpx.Client, server: SimulatorServer, kind: str
) -> None:
    control.put("/upstreams/one", json={"kind": kind, "keys": ["sk-new"], "models": ["x"]}).raise_for_status()
    assert kind in {one["kind"] for one in control.get("/upstreams").json()}


def test_an_upstream_can_be_replaced_while_its_sessions_stay(
    control: httpx.Client, gateway: Gateway, server: SimulatorServer
) -> None:
    gateway.opened()
    control.put("/upstreams/morpheus", json={"kind": "morpheus", "keys": ["sk-new"], "models": ["x"]})
    assert gateway.ping().status_code == 401
    assert len(server.open_sessions()) == 1


def test_faults_come_and_go(control: httpx.Client, openai_url: str) -> None:
    fault = {"name": "slow", "upstream": "alpha", "operation": "chat", "params": {"seconds": 1}, "times": 2}
    made = control.post("/faults", json=fault).json()["id"]
    (listed,) = control.get("/faults").json()
    assert (listed["id"], listed["times"], listed["used"]) == (made, 2, 0)
    assert listed["params"] == {"seconds": 1.0, "effect": "first"}
    assert control.delete(f"/faults/{made}").status_code == 200
    assert control.delete(f"/faults/{made}").status_code == 404
    control.post("/faults", json={"name": "dead"})
    control.delete("/faults")
    assert control.get("/faults").json() == []


def test_sessions_are_shown_and_ended(control: httpx.Client, gateway: Gateway) -> None:
    session = gateway.opened()
    (shown,) = control.get("/open").json()
    assert (shown["id"], shown["closed_at"], shown["key"]) == (session, None, "sk-one")
    ended = control.post(f"/sessions/{session}/end", json={"how": "dead"}).json()
    assert ended["closed_by"] == "dead"
    assert control.get("/open").json() == []
    assert [one["leaked"] for one in control.get("/sessions").json()] == [False]
    assert control.post(f"/sessions/{session}/end").status_code == 409
    assert control.post("/sessions/0x0/end?how=expired").status_code == 404


def test_the_log_is_read_from_where_one_left_off(control: httpx.Client, gateway: Gateway) -> None:
    gateway.opened()
    gateway.close()
    first, second = control.get("/log").json()
    assert (first["operation"], first["status"], first["fault"]) == ("open", 200, None)
    assert control.get("/log", params={"since": first["seq"]}).json() == [second]
    assert control.get("/log", params={"operation": "close"}).json() == [second]
    control.delete("/log")
    gateway.close()
    assert [call["seq"] for call in control.get("/log").json()] == [3], "numbers continue"


def test_a_reset_empties_the_world(control: httpx.Client, gateway: Gateway) -> None:
    gateway.opened()
    control.post("/faults", json={"name": "dead"})
    assert control.post("/reset").status_code == 200
    assert control.get("/report").json()["opens"] == 0
    for shelf in ("/upstreams", "/faults", "/log", "/sessions", "/open"):
        assert control.get(shelf).json() == []


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "text"),
    [
        ("POST", "/faults", {"name": "flood"}, 400, "cut_in_body"),
        ("POST", "/faults", {"name": "slow", "upstream": "nobody"}, 400, "unknown upstream"),
        ("POST", "/faults", {"name": "slow", "operation": "fly"}, 400, "ping_native"),
        ("POST", "/faults", {"name": "slow", "when": "now"}, 400, "when"),
        ("POST", "/faults", {"name": "slow", "times": 0}, 400, "times"),
        ("POST", "/faults", {"name": "slow", "probability": 2}, 400, "probability"),
        ("POST", "/faults", {"name": "slow", "params": {"seconds": "long"}}, 400, "seconds"),
        ("POST", "/faults", {"name": "slow", "params": {"minutes": 1}}, 400, "minutes"),
        ("POST", "/faults", {"name": "redirect"}, 400, "location"),
        ("POST", "/faults", {"name": "redirect", "params": {"location": "a\r\nb"}}, 400, "location"),
        ("POST", "/faults", [], 400, "details"),
        ("POST", "/faults", {}, 400, "name"),
        ("PUT", "/upstreams/alpha", {"kind": "cray"}, 400, "morpheus"),
        ("PUT", "/upstreams/alpha", {"kind": "openai", "auth": "magic"}, 400, "auth"),
        ("PUT", "/upstreams/alpha", {"kind": "openai", "colour": "red"}, 400, "colour"),
        ("PUT", "/upstreams/alpha", {"kind": "openai", "models": 5}, 400, "models"),
        ("PUT", "/upstreams/alpha", {"kind": "openai", "models": [{"id": ""}]}, 400, "id"),
        ("PUT", "/upstreams/alpha", None, 400, "no JSON"),
        ("PUT", "/upstreams/control", {"kind": "openai"}, 400, "cannot name"),
        ("PUT", "/upstreams/a%20b", {"kind": "openai"}, 400, "cannot name"),
        ("POST", "/sessions/0x0/end", {"how": "bored"}, 400, "forgotten"),
        ("POST", "/sessions/0x0/end", ["dead"], 400, "how"),
        ("GET", "/log?since=yesterday", None, 400, "since"),
        ("GET", "/log?colour=red", None, 400, "colour"),
        ("GET", "/nowhere", None, 404, "nothing here"),
        ("GET", "", None, 404, "nothing here"),
        ("PATCH", "/faults", None, 404, "nothing here"),
    ],
)
def test_bad_input_is_explained(
    control: httpx.Client, method: str, path: str, body: Any, status: int, text: str
) -> None:
    answer = control.request(method, f"{control.base_url}".rstrip("/") + path, json=body)
    assert answer.status_code == status
    assert "error" in answer.json()
    assert text in answer.text


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b"[" * 100_000])
def test_what_is_no_json_is_explained(control: httpx.Client, body: bytes) -> None:
    answer = control.post("/faults", content=body)
    assert (answer.status_code, answer.json()) == (400, {"error": "the body is no JSON"})


def test_bad_input_in_process_is_an_exception(server: SimulatorServer) -> None:
    with pytest.raises(BadInput, match="unknown fault 'flood'"):
        server.fault("flood")
    with pytest.raises(BadInput, match="no such session"):
        server.end_session("0x0")
