"""An always-on server that speaks OpenAI's format."""

import httpx
import openai
import pytest

from orchestrator.simulator import SimulatorServer
from tests.simulator.conftest import ping_body

KEY = {"Authorization": "Bearer sk-one"}


def client_of(base_url: str) -> openai.OpenAI:
    http = openai.DefaultHttpxClient(trust_env=False)
    return openai.OpenAI(base_url=base_url, api_key="sk-one", max_retries=0, http_client=http)


def test_the_real_client_lists_chats_and_streams(openai_url: str) -> None:
    with client_of(openai_url) as client:
        assert [model.id for model in client.models.list()] == ["llama", "thinker", "whisper"]
        whole = client.chat.completions.create(model="llama", messages=[{"role": "user", "content": "hi"}])
        assert whole.choices[0].message.content == "You said: hi"
        assert whole.usage is not None
        assert whole.usage.completion_tokens == 3
        stream = client.chat.completions.create(
            model="llama",
            messages=[{"role": "user", "content": "hi"}],
            stream=True,
            stream_options={"include_usage": True},
        )
        chunks = list(stream)
    said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert said == "You said: hi"
    assert chunks[-1].usage is not None


def test_the_real_client_transcribes(openai_url: str) -> None:
    with client_of(openai_url) as client:
        text = client.audio.transcriptions.create(model="whisper", file=("a.wav", b"12345")).text
    assert text == "I heard 5 bytes."


def test_a_reasoning_model_may_spend_its_tokens_before_the_first_word(
    http: httpx.Client, openai_url: str
) -> None:
    answer = http.post(f"{openai_url}/chat/completions", headers=KEY, json=ping_body("thinker"))
    choice = answer.json()["choices"][0]
    assert (choice["finish_reason"], choice["message"]["content"]) == ("length", None)


def test_a_small_limit_cuts_the_text(http: httpx.Client, openai_url: str) -> None:
    body = ping_body("llama", max_tokens=2)
    choice = http.post(f"{openai_url}/chat/completions", headers=KEY, json=body).json()["choices"][0]
    assert (choice["finish_reason"], choice["message"]["content"]) == ("length", "You said:")


def test_images_are_read_as_parts(http: httpx.Client, openai_url: str) -> None:
    parts = [{"type": "text", "text": "look"}, {"type": "image_url", "image_url": {"url": "data:,"}}]
    body = ping_body("llama", messages=[{"role": "user", "content": parts}])
    choice = http.post(f"{openai_url}/chat/completions", headers=KEY, json=body).json()["choices"][0]
    assert choice["message"]["content"] == "You said: look [image]"


@pytest.mark.parametrize(
    ("auth", "headers", "status"),
    [
        pytest.param("bearer", KEY, 200, id="bearer"),
        pytest.param("bearer", {"x-api-key": "sk-one"}, 401, id="bearer wants no x-api-key"),
        pytest.param("bearer", {"Authorization": "Bearer sk-two"}, 401, id="wrong key"),
        pytest.param("x-api-key", {"x-api-key": "sk-one"}, 200, id="x-api-key"),
        pytest.param("x-api-key", KEY, 401, id="x-api-key wants no bearer"),
        pytest.param("both", {**KEY, "x-api-key": "sk-one"}, 200, id="both"),
        pytest.param("both", KEY, 401, id="both are two"),
        pytest.param("none", {}, 200, id="none"),
    ],
)
def test_ways_to_prove_who_asks(
    server: SimulatorServer, http: httpx.Client, auth: str, headers: dict[str, str], status: int
) -> None:
    url = server.add_upstream("alpha", "openai", ["sk-one"], ["llama"], auth=auth)
    answer = http.get(f"{url}/models", headers=headers)
    assert answer.status_code == status
    assert status == 200 or answer.json()["error"]["code"] == "invalid_api_key"


def test_a_model_that_is_not_listed_is_not_found(http: httpx.Client, openai_url: str) -> None:
    answer = http.post(f"{openai_url}/chat/completions", headers=KEY, json=ping_body("gpt-9"))
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")


def test_a_wrong_path_is_not_found(http: httpx.Client, openai_url: str, server: SimulatorServer) -> None:
    answers = [http.post(f"{openai_url}/nowhere", headers=KEY), http.delete(f"{openai_url}/models")]
    assert [answer.status_code for answer in answers] == [404, 404]
    assert "error" in answers[0].json()
    assert {call.operation for call in server.log()} == {"unknown"}
    assert http.get(f"{server.url}/nobody/v1/models").status_code == 404


@pytest.mark.parametrize(
    "body",
    [
        b"no json",
        b"[1]",
        b'{"messages": []}',
        b'{"model": "llama", "messages": []}',
        b'{"model": "llama", "messages": [1], "max_tokens": 0}',
        b'{"model": "whisper", "messages": [{"role": "user", "content": "ping"}]}',
    ],
)
def test_a_bad_chat_is_refused(http: httpx.Client, openai_url: str, body: bytes) -> None:
    answer = http.post(f"{openai_url}/chat/completions", headers=KEY, content=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"


def test_a_bad_transcription_is_refused(http: httpx.Client, openai_url: str) -> None:
    url = f"{openai_url}/audio/transcriptions"
    sound = {"file": ("a.wav", b"1")}
    assert http.post(url, headers=KEY, data={"model": "whisper"}).status_code == 400
    assert http.post(url, headers=KEY, data={"model": "llama"}, files=sound).status_code == 400
    assert http.post(url, headers=KEY, data={"model": "other"}, files=sound).status_code == 404
    broken = {**KEY, "Content-Type": "multipart/form-data; boundary=x"}
    assert http.post(url, headers=broken, content=b"rubbish").status_code == 400
    unbounded = {**KEY, "Content-Type": "multipart/form-data"}
    assert http.post(url, headers=unbounded, content=b"rubbish").status_code == 400
