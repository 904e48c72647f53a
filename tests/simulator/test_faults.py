"""Every fault, as a client sees it."""

from typing import Any

import httpx
import pytest

from orchestrator.simulator import SimulatorServer
from orchestrator.simulator.faults import FAULTS
from tests.simulator.conftest import Gateway, ping_body
from tests.waiting import eventually


class Chat:
    """One minimal ping of the openai server."""

    def __init__(self, http: httpx.Client, url: str) -> None:
        self.http, self.url = http, url

    def __call__(self, **more: Any) -> httpx.Response:
        headers = {"Authorization": "Bearer sk-one"}
        body = ping_body("llama", **more)
        return self.http.post(f"{self.url}/chat/completions", headers=headers, json=body)


@pytest.fixture
def chat(http: httpx.Client, openai_url: str) -> Chat:
    return Chat(http, openai_url)


@pytest.mark.parametrize(
    ("fault", "params", "status", "text"),
    [
        ("dead", {"how": "error"}, 500, "Internal Server Error"),
        ("gone", {}, 404, "model_not_found"),
        ("expired", {}, 400, "session_expired"),
        ("throttled", {}, 429, "rate_limit_exceeded"),
        ("error_before", {"text": "upstream said no"}, 500, "upstream said no"),
        ("error_after_effect", {}, 500, "Internal Server Error"),
        ("loading", {"estimated_time": 7}, 503, '"estimated_time": 7.0'),
        ("unauthorized", {}, 401, "invalid_api_key"),
        ("forbidden", {}, 403, "not allowed"),
        ("out_of_balance", {}, 402, "run out of credits"),
        ("out_of_balance", {"status": 403}, 403, "insufficient_quota"),
        ("out_of_balance", {"status": 429}, 429, "insufficient_quota"),
        ("html", {"status": 503}, 503, "<html>"),
        ("invalid_json", {}, 200, '{"oops": '),
        ("error_in_200", {"code": "model_error"}, 200, "model_error"),
        ("empty_list", {}, 200, '"choices": []'),
        ("empty_choices", {}, 200, '"choices": []'),
        ("redirect", {"location": "http://127.0.0.1:1/"}, 307, ""),
        ("no_bids", {}, 500, "no bids available"),
        ("fails_below", {}, 500, "failed to initiate session"),
        ("close_fails", {}, 500, "Error closing session"),
        ("probe_fails", {}, 500, "did not respond"),
        ("status", {"status": 418, "body": {"tea": "pot"}}, 418, '{"tea": "pot"}'),
        ("status", {"status": 204}, 204, ""),
        ("refuses_max_tokens", {}, 400, "Use 'max_completion_tokens' instead"),
        ("min_tokens", {"at_least": 32}, 400, "Expected a value >= 32"),
        ("max_tokens_reached", {}, 400, "max_tokens or model output limit was reached"),
        ("wrong_id", {}, 200, "You said"),
        ("slow", {"seconds": 0.01}, 200, "You said"),
        ("slow", {"seconds": 0.01, "effect": "last"}, 200, "You said"),
    ],
)
def test_an_answer_that_goes_wrong(
    server: SimulatorServer, chat: Chat, fault: str, params: dict[str, Any], status: int, text: str
) -> None:
    server.fault(fault, upstream="alpha", operation="chat", times=1, **params)
    answer = chat()
    assert (answer.status_code, text in answer.text) == (status, True), answer.text
    assert chat().status_code == 200, "it was used up"
    assert [call.fault for call in server.log()] == [fault, None]


@pytest.mark.parametrize("fault", ["dead", "cut_before_effect", "cut_after_effect", "cut_in_body"])
def test_a_connection_that_drops(server: SimulatorServer, chat: Chat, fault: str) -> None:
    server.fault(fault, operation="chat")
    with pytest.raises(httpx.TransportError):
        chat()
    call = server.log()[0]
    assert (call.answered, call.ended_at is not None) == (False, True)


def test_half_a_body_arrives(server: SimulatorServer, chat: Chat) -> None:
    server.fault("cut_in_body")
    with chat.http.stream("GET", f"{chat.url}/models") as answer:
        assert answer.status_code in {200, 401}
        with pytest.raises(httpx.TransportError):
            answer.read()


def test_a_call_that_hangs_ends_when_the_caller_leaves(server: SimulatorServer, chat: Chat) -> None:
    server.fault("hang", operation="chat")
    with pytest.raises(httpx.ReadTimeout):
        chat.http.post(f"{chat.url}/chat/completions", json=ping_body("llama"), timeout=0.05)
    eventually(lambda: server.log()[0].ended_at is not None, "the call")
    assert server.log()[0].status is None


def test_a_huge_body_is_as_long_as_promised(server: SimulatorServer, chat: Chat) -> None:
    server.fault("huge_body", size_bytes=300_000)
    assert len(chat().content) == 300_000


def test_a_huge_body_may_be_left_half_read(
    server: SimulatorServer, chat: Chat, caplog: pytest.LogCaptureFixture
) -> None:
    """At the first byte or later: a client that closes the connection is nothing to report."""
    for left_at in range(4):
        server.fault("huge_body", times=1)
        with chat.http.stream("GET", f"{chat.url}/models") as answer:
            for _ in zip(range(left_at), answer.iter_raw(), strict=False):
                pass
        eventually(lambda: server.log()[-1].ended_at is not None, "the call")
        assert not server.log()[left_at].answered
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({}, None),
        ({"retry_after": 5}, "5"),
        ({"retry_after": 0.5}, "0.5"),
        ({"retry_after": 30, "style": "date"}, "Tue, 14 Nov 2023 22:13:50 GMT"),
        ({"retry_after": "next week"}, "next week"),
    ],
)
def test_throttling_says_when_to_return(
    server: SimulatorServer, chat: Chat, params: dict[str, Any], expected: str | None
) -> None:
    server.fault("throttled", **params)
    assert chat().headers.get("Retry-After") == expected


def test_the_other_name_of_the_limit_is_refused_too(server: SimulatorServer, chat: Chat) -> None:
    server.fault("refuses_max_completion_tokens")
    answer = chat(max_completion_tokens=16)
    assert (answer.status_code, answer.json()["detail"][0]["type"]) == (422, "extra_forbidden")
    assert chat().status_code == 200


def test_token_limits_can_refuse_one_by_one(server: SimulatorServer, chat: Chat) -> None:
    server.fault("refuses_max_tokens")
    body = {**ping_body("llama"), "max_completion_tokens": 16}
    del body["max_tokens"]
    headers = {"Authorization": "Bearer sk-one"}
    assert chat.http.post(f"{chat.url}/chat/completions", headers=headers, json=body).status_code == 200
    server.clear_faults()
    server.fault("min_tokens", at_least=16)
    assert [chat(max_tokens=limit).status_code for limit in (1, 16)] == [400, 200]


def test_a_stream_carries_its_error_as_an_event(server: SimulatorServer, chat: Chat) -> None:
    server.fault("error_in_200", text="oh no")
    assert 'data: {"error": {"message": "oh no"' in chat(stream=True).text


def test_the_oldest_fault_that_matches_goes_first(server: SimulatorServer, chat: Chat) -> None:
    server.fault("error_before", times=1)
    server.fault("throttled", times=1)
    assert [chat().status_code for _ in range(3)] == [500, 429, 200]


@pytest.mark.parametrize(
    ("match", "struck"),
    [
        ({"upstream": "alpha"}, True),
        ({"upstream": "beta"}, False),
        ({"key": "sk-one"}, True),
        ({"key": "sk-two"}, False),
        ({"model": "llama"}, True),
        ({"model": "thinker"}, False),
        ({"session": "0x1"}, False),
        ({"operation": "models"}, False),
    ],
)
def test_a_fault_strikes_only_what_it_matches(
    server: SimulatorServer, chat: Chat, match: dict[str, str], struck: bool
) -> None:
    server.add_upstream("beta", "openai", ["sk-one"], ["llama"])
    server.fault("error_before", **match)  # type: ignore[arg-type]
    assert (chat().status_code == 500) is struck


def test_a_model_is_matched_by_any_of_its_names(server: SimulatorServer, gateway: Gateway) -> None:
    server.fault("no_bids", model="0xbb")
    assert [gateway.open(model).status_code for model in ("llama", "qwen")] == [200, 500]


def test_chance_decides_with_a_seed(server: SimulatorServer, chat: Chat) -> None:
    server.fault("error_before", probability=0.5)
    answers = {chat().status_code for _ in range(20)}
    assert answers == {200, 500}


def test_a_fault_can_be_taken_back(server: SimulatorServer, chat: Chat) -> None:
    fault = server.fault("error_before")
    assert server.remove_fault(fault)
    assert not server.remove_fault(fault)
    assert chat().status_code == 200


def test_every_fault_says_what_it_is() -> None:
    assert all(fault.__doc__ for fault in FAULTS.values())
