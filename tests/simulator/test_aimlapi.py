"""AIMLAPI as a client sees it."""

import httpx
import pytest

from orchestrator.simulator import SimulatorServer
from orchestrator.simulator.server import ModelLike
from tests.simulator.conftest import ping_body

KEY = {"Authorization": "Bearer sk-one"}


def account(server: SimulatorServer, **options: object) -> str:
    return server.add_upstream("aiml", "aimlapi", ["sk-one"], ["llama"], **options)


def test_models_are_listed_to_anybody_with_their_aliases(server: SimulatorServer, http: httpx.Client) -> None:
    url = account(server, aliases={"llama": ["meta/llama"]})
    (listed,) = http.get(f"{url}/models").json()["data"]
    assert (listed["id"], listed["aliases"]) == ("llama", ["meta/llama"])
    answer = http.post(f"{url}/chat/completions", headers=KEY, json=ping_body("meta/llama"))
    assert answer.json()["model"] == "meta/llama"


def test_every_answer_has_its_price(server: SimulatorServer, http: httpx.Client) -> None:
    answer = http.post(
        f"{account(server, price='0.01')}/chat/completions", headers=KEY, json=ping_body("llama")
    )
    assert answer.headers["x-aimlapi-usd-spent"] == "0.01"
    assert "x-aimlapi-credits-used" in answer.headers


def test_a_key_tells_its_state_and_the_account_its_balance(
    server: SimulatorServer, http: httpx.Client
) -> None:
    url = account(server, balance=7.5, limits={"sk-one": 25}, spent={"sk-one": 3})
    key = http.get(f"{url}/key", headers=KEY).json()["data"]
    assert (key["disabled"], key["limit"], key["monthly_usage"]) == (
        False,
        {"retention": "month", "threshold": 25},
        3,
    )
    billing = http.get(url.replace("/v1", "/v2/billing"), headers=KEY)
    assert billing.json() == {"current_balance": 7.5, "currency": "USD"}
    assert http.get(f"{url}/key").status_code == 401


@pytest.mark.parametrize("as_text", [False, True])
def test_errors_have_the_platforms_own_shape(
    server: SimulatorServer, http: httpx.Client, *, as_text: bool
) -> None:
    url = account(server, balance=0, status_as_text=as_text)
    answer = http.post(f"{url}/chat/completions", headers=KEY, json=ping_body("llama"))
    body = answer.json()
    assert (answer.status_code, body["statusCode"]) == (403, "403" if as_text else 403)
    assert "run out of credits" in body["message"]
    assert set(body) == {"message", "path", "requestId", "statusCode", "timestamp"}


@pytest.mark.parametrize(
    ("options", "body", "status", "text"),
    [
        ({}, {"messages": []}, 400, "Body validation error!"),
        ({}, ping_body("other"), 404, "not found"),
        ({"disabled_keys": ["sk-one"]}, ping_body("llama"), 403, "disabled"),
        ({"limits": {"sk-one": 1}, "spent": {"sk-one": 1}}, ping_body("llama"), 403, "run out of credits"),
        (
            {"no_system": ["llama"], "wraps_upstream_errors": True},
            ping_body("llama", messages=[{"role": "system", "content": "be brief"}]),
            500,
            "400 Bad Request",
        ),
    ],
)
def test_what_is_wrong_is_said(
    server: SimulatorServer,
    http: httpx.Client,
    options: dict[str, object],
    body: dict[str, object],
    status: int,
    text: str,
) -> None:
    answer = http.post(f"{account(server, **options)}/chat/completions", headers=KEY, json=body)
    assert answer.status_code == status
    assert text in answer.json()["message"]


def test_speech_models_transcribe_and_others_do_not(server: SimulatorServer, http: httpx.Client) -> None:
    models: list[ModelLike] = ["llama", {"id": "whisper", "type": "ASR"}]
    url = server.add_upstream("aiml", "aimlapi", ["sk-one"], models)
    path, sound = f"{url}/audio/transcriptions", {"file": ("a.wav", b"12345")}
    answers = [
        http.post(path, headers=KEY, data={"model": model}, files=sound)
        for model in ("whisper", "llama", "none")
    ]
    assert [answer.status_code for answer in answers] == [200, 400, 404]
    assert http.post(path, headers=KEY, data={"model": "whisper"}).status_code == 400
    assert http.post(f"{url}/nowhere", headers=KEY).status_code == 404
