"""The minimal ping itself: its exact body, its deadline, and fallback steps that come too late."""

import asyncio
import json
import math
import time
import wave
from collections.abc import Callable
from io import BytesIO
from typing import Any

import pytest

from orchestrator.providers.chat.ping import Dialect, Pinger, SessionName, silence
from orchestrator.providers.http.client import HttpClient
from orchestrator.providers.port.answers import FirstEvent
from orchestrator.providers.port.driver import Auth, Endpoint, Probe, Target
from orchestrator.rules.values import ModelType, Verdict
from tests.providers.rawserver import Handler, read_request, serving

GOOD = {"choices": [{"message": {"content": None}, "finish_reason": "length"}], "usage": {"total_tokens": 17}}
NEW_NAME = {"error": {"message": "max_tokens is not supported: use max_completion_tokens"}}

TargetOf = Callable[[], dict[str, Any]]


class Scripted:
    """Answers with one (status, body) after the other; keeps the requests."""

    def __init__(self, *answers: tuple[int, Any], delay: float = 0) -> None:
        self.answers, self.delay = list(answers), delay
        self.bodies: list[Any] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
            self.bodies.append(json.loads(await reader.readexactly(length)))
            status, body = self.answers[min(len(self.bodies), len(self.answers)) - 1]
            raw = json.dumps(body).encode()
            await asyncio.sleep(self.delay)
            writer.write(b"HTTP/1.1 %d Said\r\nContent-Length: %d\r\n\r\n" % (status, len(raw)) + raw)


def ping(
    server: Handler,
    dialect: Dialect | None = None,
    more: TargetOf = dict,
    named: SessionName | None = None,
) -> Probe:
    async def story() -> Probe:
        http = HttpClient()
        try:
            async with serving(server) as url:
                endpoint = Endpoint(url=url, model="m", auth=Auth.NONE, secret_ref=None)
                plain = {"placement_id": "p", "handle": "h", "endpoint": endpoint, "model": "m"}
                target = Target(**{**plain, "model_type": ModelType.LLM, "secret": None, **more()})
                return await Pinger(http).probe(
                    target, endpoint, dialect or Dialect(), named or SessionName()
                )
        finally:
            await http.aclose()

    return asyncio.run(story())


def test_the_body_is_minimal() -> None:
    server = Scripted((200, GOOD))
    assert ping(server).verdict is Verdict.ALIVE
    message = {"role": "user", "content": "ping"}
    assert server.bodies == [{"model": "m", "messages": [message], "max_tokens": 16, "stream": False}]


def test_the_body_names_the_session_where_the_platform_wants_it() -> None:
    server = Scripted((200, GOOD))
    ping(server)
    ping(server, named=SessionName(body={"session_id": 'ö"1'}))
    assert server.bodies[1] == {**server.bodies[0], "session_id": 'ö"1'}


@pytest.mark.parametrize(
    ("body", "verdict"),
    [
        (GOOD, Verdict.ALIVE),
        ({**GOOD, "error": None}, Verdict.ALIVE),
        ({**GOOD, "error": {"message": "no"}}, Verdict.TRANSIENT),
        ({"choices": []}, Verdict.TRANSIENT),
        ({"choices": None}, Verdict.TRANSIENT),
        ({}, Verdict.MISCONFIGURED),
        ([], Verdict.MISCONFIGURED),
        ("ok", Verdict.MISCONFIGURED),
    ],
)
def test_alive_is_a_choice_whatever_its_text(body: Any, verdict: Verdict) -> None:
    assert ping(Scripted((200, body))).verdict is verdict


@pytest.mark.parametrize("usage", [None, 3, {}, {"total_tokens": "many"}, {"total_tokens": -1}])
def test_strange_usage_counts_nothing(usage: Any) -> None:
    assert ping(Scripted((200, {**GOOD, "usage": usage}))).tokens == 0


def test_a_fallback_that_is_too_late_is_left_for_the_next_ping() -> None:
    server = Scripted((400, NEW_NAME), (200, GOOD), delay=0.3)
    answer = ping(server, more=lambda: {"begin_by": time.monotonic() + 0.2})
    assert (answer.not_begun, answer.variant) == (True, "max_completion_tokens:16")
    assert len(server.bodies) == 1


def test_all_fallbacks_share_one_deadline() -> None:
    server = Scripted((400, NEW_NAME), (200, GOOD), delay=0.3)
    answer = ping(server, more=lambda: {"timeout_seconds": 0.45})
    assert (answer.verdict, len(server.bodies)) == (Verdict.TRANSIENT, 2)
    assert answer.latency_ms >= 440


def test_a_model_that_loads_says_for_how_long() -> None:
    answer = ping(Scripted((503, {"error": "loading", "estimated_time": 12.5})))
    assert (answer.verdict, answer.retry_after_seconds) == (Verdict.LOADING, 12.5)


@pytest.mark.parametrize(
    ("estimate", "seconds"),
    [(-3, 0), (10**400, 600), (math.inf, 600), (math.nan, None), (True, None), ("20", None), ([], None)],
)
def test_a_strange_estimate_is_bounded_or_none(estimate: Any, seconds: float | None) -> None:
    answer = ping(Scripted((503, {"error": "loading", "estimated_time": estimate})))
    assert (answer.verdict, answer.retry_after_seconds) == (Verdict.LOADING, seconds)


def test_silence_is_a_short_sound_file() -> None:
    with wave.open(BytesIO(silence())) as sound:
        assert 0 < sound.getnframes() / sound.getframerate() < 1


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_the_first_event_is_seen_however_a_stream_is_cut(size: int) -> None:
    beginning = b": awake\n" * 50 + b"event: x data:\n\ndata: " + b"1" * 100
    seen = FirstEvent()
    cuts = [beginning[n : n + size] for n in range(0, len(beginning), size)]
    assert [seen(cut) for cut in cuts] == [False] * len(cuts)
    assert seen(b"\n: more")


class Streaming:
    """Answers with these lines of an event stream, and then keeps it open for ever."""

    def __init__(self, *lines: str) -> None:
        self.lines = lines

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        writer.write("\n".join(self.lines).encode())
        await writer.drain()
        await reader.read()


CHUNK = 'data: {"choices": [{"delta": {}}]}'


@pytest.mark.parametrize(
    ("lines", "verdict"),
    [
        ((CHUNK, ""), Verdict.ALIVE),
        ((": comments keep it awake", "", CHUNK, ""), Verdict.ALIVE),
        (("event: message", "id: 1", CHUNK, ""), Verdict.ALIVE),
        (('data: {"choices": []}', ""), Verdict.ALIVE),
        (('data: {"error": {"message": "session expired"}}', ""), Verdict.GONE),
        (("data: [DONE]", ""), Verdict.MISCONFIGURED),
        ((": comments alone", ""), Verdict.TRANSIENT),
        ((CHUNK,), Verdict.TRANSIENT),
    ],
)
def test_the_first_chunk_of_a_stream_is_the_answer(lines: tuple[str, ...], verdict: Verdict) -> None:
    answer = ping(Streaming(*lines), Dialect(streams=True), lambda: {"timeout_seconds": 0.4})
    assert answer.verdict is verdict


def test_a_stream_is_asked_for_where_the_platform_wants_one() -> None:
    server = Scripted((200, GOOD))
    assert ping(server, Dialect(streams=True)).verdict is Verdict.ALIVE
    assert server.bodies[0]["stream"] is True
