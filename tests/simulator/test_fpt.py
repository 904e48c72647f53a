"""A studio: endpoints that live and end, and a plain JSON control API."""

from typing import Any

import httpx
import pytest

from orchestrator.simulator import SimulatorServer
from tests.simulator.conftest import HandClock, ping_body


class Studio:
    """The calls of a client of a studio."""

    def __init__(self, http: httpx.Client, url: str, key: str = "sk-one") -> None:
        self.http, self.url, self.headers = http, url, {"Authorization": f"Bearer {key}"}

    def ask(self, method: str, path: str, body: Any = None) -> httpx.Response:
        return self.http.request(method, f"{self.url}{path}", json=body, headers=self.headers)

    def open(self, name: str = "one", model: str = "llama") -> httpx.Response:
        return self.ask("POST", "/sessions", {"name": name, "model": model, "duration_seconds": 600})

    def chat(self, path: str = "") -> httpx.Response:
        return self.ask("POST", f"{path}/chat/completions", ping_body("llama"))


def studio_of(server: SimulatorServer, http: httpx.Client, **options: Any) -> Studio:
    return Studio(http, server.add_upstream("studio", "fpt", ["sk-one", "sk-two"], ["llama"], **options))


@pytest.fixture
def studio(server: SimulatorServer, http: httpx.Client) -> Studio:
    return studio_of(server, http)


def test_a_session_opens_serves_and_closes(studio: Studio, server: SimulatorServer) -> None:
    made = studio.open().json()["data"]
    endpoint = httpx.URL(made["endpoint"]["url"])
    assert studio.http.post(endpoint, json=ping_body("llama"), headers=studio.headers).status_code == 200
    for reference in (made["id"], "one"):
        assert studio.ask("GET", f"/sessions/{reference}").json()["data"]["status"] == "Running"
    assert studio.ask("DELETE", f"/sessions/{made['id']}").json()["data"]["status"] == "Stopped"
    assert studio.chat(f"/sessions/{made['id']}").status_code == 404
    report = server.report()
    assert (report.opens, report.closes, report.pings_after_close, report.double_opens) == (1, 1, 1, 0)


def test_the_same_name_is_the_same_session_or_a_conflict(server: SimulatorServer, http: httpx.Client) -> None:
    studio = studio_of(server, http)
    assert studio.open().json()["data"]["id"] == studio.open().json()["data"]["id"]
    studio = studio_of(server, http, idempotent=False)
    assert studio.open().status_code == 409
    assert server.report().double_opens == 0


def test_a_name_that_lives_twice_is_counted(studio: Studio, server: SimulatorServer) -> None:
    for _ in range(2):
        server.simulator.sessions.open(
            upstream="studio", key="sk-one", model="llama", seconds=60, label="one"
        )
    assert server.report().double_opens == 1


@pytest.mark.parametrize(
    ("body", "status"),
    [({}, 400), ({"name": "x" * 101, "model": "llama"}, 400), ({"name": "one", "model": "none"}, 404)],
)
def test_what_cannot_be_opened_is_refused(studio: Studio, body: Any, status: int) -> None:
    assert studio.ask("POST", "/sessions", body).status_code == status


@pytest.mark.parametrize(("how", "word"), [("expired", "Stopped"), ("dead", "Failed"), ("forgotten", None)])
def test_the_platform_ends_a_session(
    studio: Studio, server: SimulatorServer, how: str, word: str | None
) -> None:
    session = studio.open().json()["data"]["id"]
    server.end_session(session, how)
    shown = studio.ask("GET", f"/sessions/{session}").json()
    assert shown.get("data", {}).get("status") == word
    listed = studio.ask("GET", "/sessions").json()["data"]["items"]
    assert [item["data"]["status"] for item in listed] == ([word] if word else [])


def test_other_keys_see_their_own_alone(studio: Studio) -> None:
    studio.open()
    other_account = Studio(studio.http, studio.url, "sk-two")
    assert other_account.ask("GET", "/sessions/one").status_code == 404
    assert other_account.ask("GET", "/sessions").json()["data"]["total"] == 0
    assert Studio(studio.http, studio.url, "sk-nobody").open().status_code == 401


def test_an_endpoint_from_the_console_is_always_on_unless_it_is_asked_to_end(
    studio: Studio, server: SimulatorServer
) -> None:
    assert studio.chat().status_code == 200
    assert server.sessions() == []


@pytest.mark.parametrize(
    ("says", "status"), [("not_found", 404), ("unauthorized", 401), ("unavailable", 503)]
)
def test_an_endpoint_from_the_console_lives_and_ends(
    server: SimulatorServer, http: httpx.Client, clock: HandClock, says: str, status: int
) -> None:
    studio = studio_of(server, http, console_seconds=60, ended_says=says)
    assert [studio.chat().status_code for _ in range(2)] == [200, 200]
    assert len(server.open_sessions()) == 1
    clock.advance(61)
    assert studio.chat().status_code == status
    assert server.report().ended_by_platform == 1
