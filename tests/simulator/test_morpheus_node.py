"""A node by itself: sessions with ids, one wallet, and 500 for every error."""

import threading
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import pytest

from orchestrator.simulator import SimulatorServer
from tests.simulator.conftest import HandClock, ping_body
from tests.waiting import eventually

WALLET = "0x" + "ab" * 20


class Node:
    """The calls of a client of a node."""

    def __init__(self, http: httpx.Client, url: str, key: str = "admin:secret") -> None:
        user, _, password = key.partition(":")
        self.http, self.url, self.auth = http, url, httpx.BasicAuth(user, password)

    def post(self, path: str, body: Any) -> httpx.Response:
        return self.http.post(f"{self.url}{path}", json=body, auth=self.auth)

    def get(self, path: str, **query: Any) -> httpx.Response:
        return self.http.get(f"{self.url}{path}", params=query, auth=self.auth)

    def open(self, model: str = "0xaa", seconds: int = 3600) -> httpx.Response:
        return self.post(f"/blockchain/models/{model}/session", {"sessionDuration": seconds})

    def opened(self, model: str = "0xaa", seconds: int = 3600) -> str:
        return str(self.open(model, seconds).json()["sessionID"])

    def close(self, session: str) -> httpx.Response:
        return self.post(f"/blockchain/sessions/{session}/close", {})

    def show(self, session: str) -> Any:
        return self.get(f"/blockchain/sessions/{session}").json()

    def list(self, **query: Any) -> list[dict[str, Any]]:
        plain = {"user": WALLET, "offset": 0, "limit": 255, "order": "asc"}
        sessions: list[dict[str, Any]] = self.get("/blockchain/sessions/user", **plain | query).json()[
            "sessions"
        ]
        return sessions

    def chat(self, session: str) -> httpx.Response:
        headers, body = {"session_id": session}, ping_body("any", stream=True)
        return self.http.post(f"{self.url}/v1/chat/completions", headers=headers, json=body, auth=self.auth)


def node_of(server: SimulatorServer, http: httpx.Client, **options: Any) -> Node:
    return Node(
        http, server.add_upstream("node", "morpheus-node", ["admin:secret"], ["0xaa", "0xbb"], **options)
    )


@pytest.fixture
def node(server: SimulatorServer, http: httpx.Client) -> Node:
    return node_of(server, http)


def test_a_session_opens_serves_and_closes(node: Node, server: SimulatorServer) -> None:
    session = node.opened()
    assert node.chat(session).text.startswith('data: {"id"')
    assert (node.show(session)["session"]["ClosedAt"], len(node.list())) == (0, 1)
    assert node.close(session).json()["tx"].startswith("0x")
    assert node.show(session)["session"]["ClosedAt"] > 0
    assert "session already closed" in node.chat(session).json()["error"]
    report = server.report()
    assert (report.opens, report.closes, report.open_now, report.pings_after_close) == (1, 1, 0, 1)


def test_what_was_closed_says_so_and_confirms_it(node: Node, server: SimulatorServer) -> None:
    session = node.opened()
    server.fault("cut_after_effect", operation="close", times=1)
    with pytest.raises(httpx.TransportError):
        node.close(session)
    assert "SessionAlreadyClosed" in node.close(session).json()["error"]
    node.chat(session)
    assert server.report().pings_after_close == 1


def test_each_open_is_another_session(node: Node, server: SimulatorServer) -> None:
    assert node.opened() != node.opened()
    assert server.report().most_active_per_key == {"node": {"admin:secret": 2}}


def test_an_end_by_itself_is_no_close(node: Node, clock: HandClock) -> None:
    session = node.opened(seconds=300)
    clock.advance(301)
    answer = node.get(f"/blockchain/sessions/{session}")
    assert parsedate_to_datetime(answer.headers["Date"]).timestamp() == int(clock.now)
    shown = answer.json()["session"]
    assert (shown["ClosedAt"], shown["EndsAt"]) == (0, int(clock.now) - 1)
    assert "session expired" in node.chat(session).json()["error"]
    assert node.close(session).status_code == 200


@pytest.mark.parametrize(
    ("act", "text"),
    [
        (lambda node: node.open("0xnone"), "no bids available"),
        (lambda node: node.open(seconds=299), "SessionTooShort"),
        (lambda node: node.close("0xnone"), "session not found"),
        (lambda node: node.get("/blockchain/sessions/0xnone"), "session not found"),
        (lambda node: node.chat("0xnone"), "session not found"),
    ],
)
def test_every_trouble_is_a_500_with_a_text(node: Node, act: Any, text: str) -> None:
    answer = act(node)
    assert answer.status_code == 500
    assert text in answer.json()["error"]


def test_stakes_lock_the_balance(server: SimulatorServer, http: httpx.Client) -> None:
    node = node_of(server, http, mor=15, stake=10)
    session = node.opened()
    assert node.get("/blockchain/balance").json()["mor"] == "5"
    assert "transfer amount exceeds balance" in node.open().json()["error"]
    node.close(session)
    assert node.open().status_code == 200


def test_two_transactions_at_once_contend(node: Node, server: SimulatorServer) -> None:
    server.fault("slow", operation="open", times=1, seconds=0.2, effect="last")
    slow = threading.Thread(target=node.open)
    slow.start()
    eventually(lambda: len(server.log(operation="open")) == 1, "the call")
    assert "nonce too low" in node.open("0xbb").json()["error"]
    slow.join()
    assert [session.model for session in server.open_sessions()] == ["0xaa"]


def test_pages_go_both_ways_and_the_limit_is_one_byte(node: Node) -> None:
    sessions = [node.opened() for _ in range(3)]
    assert [one["Id"] for one in node.list()] == sessions
    assert [one["Id"] for one in node.list(order="desc", limit=2)] == sessions[:0:-1]
    assert [one["Id"] for one in node.list(offset=2)] == sessions[2:]
    assert node.list(limit=256) == []
    assert node.list(user="0x0") == []


def test_a_young_session_is_missing_from_lists(
    server: SimulatorServer, http: httpx.Client, clock: HandClock
) -> None:
    node = node_of(server, http, list_lag_seconds=60)
    session = node.opened()
    assert node.list() == []
    clock.advance(60)
    assert [one["Id"] for one in node.list()] == [session]


@pytest.mark.parametrize(
    ("casing", "key"), [("code", "ModelAgentId"), ("camel", "modelAgentId"), ("lower", "modelagentid")]
)
def test_keys_are_written_in_more_ways_than_one(
    server: SimulatorServer, http: httpx.Client, casing: str, key: str
) -> None:
    node = node_of(server, http, casing=casing)
    assert node.show(node.opened())["session"][key] == "0xaa"


def test_a_bid_is_shown_with_its_session(server: SimulatorServer, http: httpx.Client) -> None:
    node = node_of(server, http, bids={"0xb1d": "0xbb"})
    session = node.post("/blockchain/bids/0xb1d/session", {"sessionDuration": 300}).json()["sessionID"]
    shown = node.show(session)["session"]
    assert (shown["BidID"], shown["ModelAgentId"]) == ("0xb1d", "0xbb")


@pytest.mark.parametrize("key", ["admin:wrong", "nobody:secret"])
def test_a_wrong_password_is_refused(node: Node, key: str) -> None:
    assert Node(node.http, node.url, key).open().status_code == 401
    assert (
        node.http.get(f"{node.url}/blockchain/balance", headers={"Authorization": "Basic ?"}).status_code
        == 401
    )
