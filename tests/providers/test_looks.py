"""Servers that answer while they work: what counts as an answer, and the request for it."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace

import pytest
from pydantic import ValidationError

from orchestrator.providers.chat.ping import Dialect, Pinger
from orchestrator.providers.drivers.openai import OpenAIOptions
from orchestrator.providers.http.client import HttpClient
from orchestrator.providers.port.driver import Auth, Driver, Endpoint, Probe, Secret, Target
from orchestrator.rules.sessions.pings import Silence
from orchestrator.rules.values import ModelType, Verdict
from tests.providers.rawserver import serving
from tests.providers.stage import Stage

HTML = b"<!doctype html><html></html>"


class OneSlot:
    """Never answers a chat; answers every other path as given, and 404 otherwise."""

    def __init__(self, answers: Mapping[str, tuple[int, bytes]]) -> None:
        self.answers = answers
        self.asked: list[str] = []
        self.keys: list[str] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            path = head.split()[1]
            if path.endswith("/chat/completions"):
                await reader.read()
                return
            self.asked.append(path)
            self.keys += [line for line in head.splitlines() if line.lower().startswith("authorization")]
            status, body = self.answers.get(path, (404, b"{}"))
            if status == 0:  # hangs here too
                await reader.read()
                return
            writer.write(b"HTTP/1.1 %d Said\r\nContent-Length: %d\r\n\r\n" % (status, len(body)) + body)


def ping(server: OneSlot, looks: tuple[str, ...], path: str = "/v1") -> Probe:
    async def story() -> Probe:
        http = HttpClient()
        try:
            async with serving(server) as url:
                secret = Secret(ref="env:KEY", value="sk-planted")
                endpoint = Endpoint(url=url + path, model="m", auth=Auth.BEARER, secret_ref="env:KEY")
                target = Target(
                    placement_id="p",
                    handle="h",
                    endpoint=endpoint,
                    model="m",
                    model_type=ModelType.LLM,
                    secret=secret,
                    timeout_seconds=0.3,
                )
                return await Pinger(http).probe(target, endpoint, Dialect(looks=looks))
        finally:
            await http.aclose()

    return asyncio.run(story())


BOTH = ("models", "../health")


@pytest.mark.parametrize(
    ("answers", "seen", "asked"),
    [
        pytest.param({"/v1/models": (200, b"{}")}, "models answers", ["/v1/models"], id="its models"),
        pytest.param({"/health": (200, b"")}, "health answers", ["/v1/models", "/health"], id="its health"),
        pytest.param({"/v1/models": (200, HTML)}, None, ["/v1/models", "/health"], id="a page is no answer"),
        pytest.param({"/v1/models": (503, b"{}")}, None, ["/v1/models", "/health"], id="nor is an error"),
        pytest.param({"/v1/models": (401, b"{}")}, None, ["/v1/models", "/health"], id="nor a refusal"),
        pytest.param(
            {"/v1/models": (0, b""), "/health": (200, b"ok")},
            "health answers",
            ["/v1/models", "/health"],
            id="one hangs, the next answers",
        ),
        pytest.param({"/v1/models": (0, b""), "/health": (0, b"")}, None, None, id="all hang"),
    ],
)
def test_a_server_that_answers_elsewhere_is_seen(
    answers: dict[str, tuple[int, bytes]], seen: str | None, asked: list[str] | None
) -> None:
    server = OneSlot(answers)
    probe = ping(server, BOTH)
    assert (probe.verdict, probe.silence) == (Verdict.TRANSIENT, Silence(seen))
    assert asked is None or server.asked == asked
    assert all(key.endswith("Bearer sk-planted") for key in server.keys)
    assert len(server.keys) == len(server.asked)


def ping_of(stage: Stage, server: OneSlot, **options: object) -> Probe:
    """Ping an endpoint there, as this platform's driver does it."""

    async def story(driver: Driver) -> Probe:
        async with serving(server) as url:
            return await driver.probe(replace(stage.elsewhere(f"{url}/v1"), timeout_seconds=0.3))

    return stage.play(story, **options)


def test_every_driver_looks_where_its_configuration_says(stage: Stage) -> None:
    server = OneSlot({"/v1/status": (200, b"{}")})
    probe = ping_of(stage, server, looks=("status",))
    assert (probe.verdict, probe.silence) == (Verdict.TRANSIENT, Silence("status answers"))
    assert server.asked == ["/v1/status"]


def test_by_default_only_a_server_of_one_model_is_looked_at(stage: Stage) -> None:
    server = OneSlot({"/v1/models": (200, b"{}")})
    ping_of(stage, server)
    assert server.asked == (["/v1/models"] if stage.platform.serves_one_model else []), (
        "a gateway lists its models in any state of one session"
    )


def test_without_looks_nothing_is_asked() -> None:
    server = OneSlot({})
    assert ping(server, ()).silence == Silence(None)
    assert server.asked == []


def test_looks_stay_beside_the_endpoint() -> None:
    server = OneSlot({})
    ping(server, BOTH, "/tenant/a/v1/")
    assert server.asked == ["/tenant/a/v1/models", "/tenant/a/health"]


@pytest.mark.parametrize(
    "path", ["/health", "//other/x", "http://other/", "a//b", "", "models?x=1", "a b", "a/"]
)
def test_a_look_leads_nowhere_else(path: str) -> None:
    with pytest.raises(ValidationError):
        OpenAIOptions(base_url="http://h/v1", looks=(path,))


def test_a_connection_that_is_refused_or_breaks_is_no_silence() -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    async def story() -> Probe:
        http = HttpClient()
        try:
            async with serving(hang_up) as url:
                endpoint = Endpoint(url=url, model="m", auth=Auth.NONE, secret_ref=None)
                target = Target(
                    placement_id="p",
                    handle="h",
                    endpoint=endpoint,
                    model="m",
                    model_type=ModelType.LLM,
                    secret=None,
                )
                return await Pinger(http).probe(target, endpoint, Dialect(looks=BOTH))
        finally:
            await http.aclose()

    probe = asyncio.run(story())
    assert (probe.verdict, probe.silence) == (Verdict.TRANSIENT, None)
