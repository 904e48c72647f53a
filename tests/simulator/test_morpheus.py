"""A gateway where the API key is the slot."""

import httpx
import pytest

from orchestrator.simulator import SimulatorServer
from tests.simulator.conftest import Gateway, HandClock


def test_a_session_opens_serves_and_closes(gateway: Gateway, server: SimulatorServer) -> None:
    opened = gateway.open("0xaa").json()
    session = opened["session_id"]
    assert (opened["success"], opened["model"], len(session)) == (True, "llama", 66)
    assert gateway.chat(session).json()["choices"][0]["message"]["content"] == "You said: ping"
    assert gateway.chat().status_code == 200
    assert gateway.ping().json()["status"] == "alive"
    assert gateway.close().json()["session_id"] == session
    assert gateway.close().json() == {
        "success": True,
        "message": "No active session to close",
        "session_id": None,
    }
    assert [(one.closed_by, one.model) for one in server.sessions()] == [("client", "llama")]


def test_the_same_key_and_model_is_the_same_session(gateway: Gateway, server: SimulatorServer) -> None:
    assert gateway.opened("llama") == gateway.opened("0xaa")
    assert len(server.sessions()) == 1


def test_another_model_closes_the_live_session(gateway: Gateway, server: SimulatorServer) -> None:
    first, second = gateway.opened("llama"), gateway.opened("qwen")
    assert [one.id for one in server.open_sessions()] == [second]
    assert server.sessions()[0].closed_by == "displaced"
    assert server.log()[-1].effect == f"displaced {first}, opened {second}"
    assert "session not found" in gateway.chat(first).json()["detail"]


def test_other_keys_have_slots_of_their_own(gateway: Gateway, server: SimulatorServer) -> None:
    other_account = Gateway(gateway.http, gateway.base_url, "sk-two")
    mine, theirs = gateway.opened(), other_account.opened()
    assert mine != theirs
    assert other_account.chat(mine).status_code == 500
    other_account.close()
    assert [one.id for one in server.open_sessions()] == [mine]


def test_an_unknown_model_silently_becomes_the_default(gateway: Gateway, server: SimulatorServer) -> None:
    assert gateway.open("0xunknown").json()["model"] == "llama"
    assert server.log()[0].model == "0xunknown"
    assert server.sessions()[0].model == "llama"


def test_the_default_model_is_a_setting(server: SimulatorServer, http: httpx.Client) -> None:
    url = server.add_upstream("m", "morpheus", ["sk-one"], ["llama", "qwen"], default_model="qwen")
    assert Gateway(http, url).open("0xunknown").json()["model"] == "qwen"


def test_a_bid_leaks_the_previous_session(gateway: Gateway, server: SimulatorServer) -> None:
    first = gateway.opened()
    answer = gateway.open_bid().json()
    assert "model" not in answer
    assert [(one.id, one.leaked) for one in server.open_sessions()] == [
        (first, True),
        (answer["session_id"], False),
    ]
    gateway.close()
    assert [one.id for one in server.open_sessions()] == [first]
    assert server.report().leaked == 1


def test_bids_may_belong_to_models(server: SimulatorServer, http: httpx.Client) -> None:
    url = server.add_upstream("m", "morpheus", ["sk-one"], ["llama", "qwen"], bids={"0xb": "qwen"})
    gateway = Gateway(http, url)
    gateway.open_bid("0xb")
    assert server.sessions()[0].model == "qwen"
    assert "no bids available" in gateway.open_bid("0xother").json()["detail"]


def test_a_session_ends_by_itself(gateway: Gateway, server: SimulatorServer, clock: HandClock) -> None:
    session = gateway.open(duration=300).json()["session_id"]
    clock.advance(301)
    assert "session expired" in gateway.chat(session).json()["detail"]
    ended = server.sessions()[0]
    assert (ended.closed_by, ended.closed_at) == ("expired", ended.opened_at + 300)
    assert gateway.ping().json()["status"] == "expired"
    assert gateway.ping().json()["status"] == "no_session"
    assert gateway.open().json()["session_id"] != session


def test_no_duration_is_the_default_one(gateway: Gateway, server: SimulatorServer) -> None:
    gateway.open(duration=0)
    session = server.sessions()[0]
    assert session.ends_at - session.opened_at == 3600


def test_a_negative_duration_breaks_the_platform(gateway: Gateway, server: SimulatorServer) -> None:
    assert gateway.open(duration=-1).status_code == 500
    assert server.sessions() == []


@pytest.mark.parametrize("path", ["/session/modelsession", "/session/bidsession"])
def test_what_misses_is_named(gateway: Gateway, path: str) -> None:
    answer = gateway.post(path, json={})
    assert (answer.status_code, answer.json()["detail"][0]["type"]) == (422, "missing")


def test_what_has_the_wrong_type_is_named(gateway: Gateway) -> None:
    assert gateway.open(duration="long").json()["detail"][0]["loc"] == ["body", "sessionDuration"]
    assert gateway.post("/chat/completions", json={"model": "llama"}).status_code == 422


def test_a_wrong_key_is_refused_everywhere(gateway: Gateway) -> None:
    other_account = Gateway(gateway.http, gateway.base_url, "sk-nobody")
    answers = [
        other_account.open(),
        other_account.open_bid(),
        other_account.ping(),
        other_account.close(),
        other_account.chat(),
    ]
    assert {answer.status_code for answer in answers} == {401}
    assert answers[0].json() == {"detail": "Invalid API key"}


def test_a_retired_gateway_has_no_session_calls(server: SimulatorServer, http: httpx.Client) -> None:
    gateway = Gateway(http, server.add_upstream("m", "morpheus", ["sk-one"], ["llama"], retired=True))
    answers = [gateway.open(), gateway.open_bid(), gateway.ping(), gateway.close()]
    assert {answer.status_code for answer in answers} == {404}
    assert gateway.chat().status_code == 200


def test_models_carry_their_chain_ids(gateway: Gateway) -> None:
    listed = gateway.http.get(f"{gateway.base_url}/models", headers=gateway.headers).json()["data"]
    assert [(one["id"], one["blockchainID"], one["modelType"]) for one in listed] == [
        ("llama", "0xaa", "LLM"),
        ("qwen", "0xbb", "LLM"),
    ]


def test_a_stream_tells_its_errors_with_status_200(gateway: Gateway) -> None:
    answer = gateway.chat("0xunknown", stream=True)
    assert answer.status_code == 200
    assert 'data: {"error"' in answer.text


def test_without_a_session_there_is_no_chat(gateway: Gateway) -> None:
    assert "session not found" in gateway.chat().json()["detail"]


@pytest.mark.parametrize(
    ("how", "text", "status"),
    [
        ("expired", "session expired", "expired"),
        ("dead", "provider is not responding", "dead"),
        ("forgotten", "session not found", "no_session"),
    ],
)
def test_the_platform_ends_a_session(
    gateway: Gateway, server: SimulatorServer, how: str, text: str, status: str
) -> None:
    session = gateway.opened()
    assert server.end_session(session, how).closed_by == how
    assert text in gateway.chat(session).json()["detail"]
    assert gateway.ping().json()["status"] == status
    assert gateway.close().json()["session_id"] is None


def test_a_failed_native_ping_closes_the_session(gateway: Gateway, server: SimulatorServer) -> None:
    session = gateway.opened()
    server.fault("probe_fails", operation="ping_native", times=1)
    answer = gateway.ping()
    assert (answer.status_code, answer.json()["status"]) == (200, "dead")
    assert "has been closed" in answer.json()["message"]
    assert (server.sessions()[0].closed_by, server.log()[-1].effect) == ("ping", f"closed {session}")
    assert gateway.ping().json()["status"] == "no_session"


def test_a_native_ping_says_closed_even_when_its_close_failed(
    gateway: Gateway, server: SimulatorServer
) -> None:
    gateway.opened()
    server.fault("close_fails", operation="ping_native", times=1)
    assert "has been closed" in gateway.ping().json()["message"]
    assert len(server.open_sessions()) == 1
