"""The client: what was certainly not sent, what may have arrived, and what is never done."""

import asyncio
from typing import Any

import pytest

from orchestrator.providers.http.client import NoAnswer
from orchestrator.providers.port.answers import Response
from orchestrator.providers.port.driver import Auth, Secret
from orchestrator.providers.port.errors import NotSent
from tests.providers.asking import ask, call, client
from tests.providers.rawserver import GOOD, Handler, read_request, saying, serving
from tests.waiting import free_port


def test_an_answer_has_status_headers_and_json() -> None:
    answer = ask(saying(b'HTTP/1.1 418 Odd\r\nX-Odd: Yes\r\nContent-Length: 7\r\n\r\n{"a":1}'))
    assert (answer.status, answer.headers["x-odd"], answer.json) == (418, "Yes", {"a": 1})
    assert answer.elapsed_ms >= 0


async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    "handler",
    [
        pytest.param(saying(b""), id="cut before the headers"),
        pytest.param(saying(b"HTTP/1.1 200 OK\r\nContent-Le"), id="cut in the headers"),
        pytest.param(saying(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}"), id="cut in the body"),
        pytest.param(
            saying(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n"),
            id="cut in the chunks",
        ),
        pytest.param(saying(b"220 mail.example ESMTP\r\n\r\n"), id="no HTTP"),
        pytest.param(saying(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000 + b"\r\n\r\n"), id="endless header"),
        pytest.param(hang, id="silence"),
    ],
)
def test_what_may_have_arrived_is_no_answer(handler: Handler, method: str) -> None:
    with pytest.raises(NoAnswer):
        ask(handler, method=method, timeout_seconds=0.3)


def test_a_reset_connection_is_no_answer() -> None:
    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.transport.abort()

    with pytest.raises(NoAnswer):
        ask(reset)


@pytest.mark.parametrize(
    "url",
    [
        pytest.param(f"http://127.0.0.1:{free_port()}", id="refused"),
        pytest.param(f"https://127.0.0.1:{free_port()}", id="refused with TLS"),
        pytest.param("http://no-such-host.invalid", id="no such host"),
        pytest.param("http://", id="no host"),
        pytest.param("gopher://host", id="no such protocol"),
    ],
)
def test_without_a_connection_nothing_was_sent(url: str) -> None:
    async def story() -> None:
        async with client() as http:
            await http.ask(call(url, timeout_seconds=20))

    with pytest.raises(NotSent):
        asyncio.run(story())


def test_a_failed_handshake_sends_nothing() -> None:
    async def no_tls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async def story() -> None:
        async with serving(no_tls) as url, client() as http:
            await http.ask(call(url.replace("http:", "https:")))

    with pytest.raises(NotSent):
        asyncio.run(story())


def test_a_full_pool_sends_nothing() -> None:
    async def story() -> None:
        async with serving(hang) as url, client(max_connections=1, pool_timeout=0.1) as http:
            first = asyncio.create_task(http.ask(call(url, timeout_seconds=0.6)))
            await asyncio.sleep(0)
            with pytest.raises(NotSent):
                await http.ask(call(url))
            with pytest.raises(NoAnswer):
                await first

    asyncio.run(story())


def test_a_secret_that_no_header_can_carry_sends_nothing() -> None:
    for value in ("sk-line\nbreak-planted", "sk-ключ"):
        with pytest.raises(NotSent) as raised:
            ask(saying(GOOD), auth=Auth.BEARER, secret=Secret(ref="r", value=value))
        assert value not in str(raised.value)


class OnceOnly:
    """Answers the first request of a connection, and drops the connection at the second."""

    def __init__(self) -> None:
        self.heads: list[bytes] = []
        self.connections = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.heads.append(await read_request(reader))
        writer.write(GOOD)
        self.heads.append(await read_request(reader))


def twice(server: OnceOnly, **more: Any) -> None:
    async def story() -> None:
        async with serving(server) as url, client() as http:
            await http.ask(call(url, **more))
            await http.ask(call(url, **more))

    asyncio.run(story())


def test_a_post_on_a_dying_connection_is_never_sent_again() -> None:
    server = OnceOnly()
    with pytest.raises(NoAnswer):
        twice(server, json={})
    assert (len(server.heads), server.connections) == (2, 1)


def test_a_fresh_call_meets_no_dying_connection() -> None:
    server = OnceOnly()
    twice(server, json={}, fresh=True)
    assert (len(server.heads), server.connections) == (2, 2)


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "POST"])
def test_what_may_have_had_its_effect_goes_out_once(method: str) -> None:
    heads: list[bytes] = []

    async def lost(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await read_request(reader))

    with pytest.raises(NoAnswer, match="ServerDisconnectedError"):
        ask(lost, method=method, fresh=True)
    assert len(heads) == 1


def test_after_a_thousand_cancelled_requests_one_works() -> None:
    async def patient(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await read_request(reader)
        if b"/works" not in head:
            await reader.read()
        writer.write(GOOD)

    async def story() -> Response:
        async with serving(patient) as url, client(max_connections=20) as http:
            for _ in range(20):
                tasks = [asyncio.create_task(http.ask(call(url))) for _ in range(50)]
                await asyncio.sleep(0.01)
                for task in tasks:
                    task.cancel()
                outcomes = await asyncio.gather(*tasks, return_exceptions=True)
                assert all(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes)
            return await http.ask(call(url + "/works"))

    assert asyncio.run(story()).status == 200


async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"400\r\n" + b" " * 1024 + b"\r\n")
        await writer.drain()


def test_an_endless_body_is_read_up_to_the_bound() -> None:
    answer = ask(endless, options={"max_body_bytes": 5000})
    assert (answer.oversized, len(answer.body), answer.json) == (True, 5000, None)


def test_a_caller_who_has_read_enough_reads_no_further() -> None:
    seen = bytearray()

    def enough(chunk: bytes) -> bool:
        seen.extend(chunk)
        return len(seen) > 2000

    answer = ask(endless, enough=enough)
    assert (answer.status, answer.oversized) == (200, False)
    assert 2000 < len(answer.body) < 100_000
    assert answer.body == seen, "each chunk is reported once"


def test_a_connection_left_unread_is_used_by_nobody() -> None:
    async def story() -> Response:
        async with serving(endless) as url, client(max_connections=1) as http:
            await http.ask(call(url, enough=bool))
            return await http.ask(call(url, enough=bool))

    assert asyncio.run(story()).status == 200


def test_redirects_are_answers() -> None:
    answer = ask(
        saying(b"HTTP/1.1 307 Go\r\nLocation: http://elsewhere.invalid\r\nContent-Length: 0\r\n\r\n")
    )
    assert answer.status == 307


def test_cookies_are_not_kept() -> None:
    heads: list[bytes] = []

    async def baker(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await read_request(reader))
        writer.write(b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b; Path=/\r\nContent-Length: 0\r\n\r\n")

    async def story() -> None:
        async with serving(baker) as url, client() as http:
            await http.ask(call(url, fresh=True))
            await http.ask(call(url, fresh=True))

    asyncio.run(story())
    assert len(heads) == 2
    assert b"cookie" not in heads[1].lower()


def test_the_environment_names_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("ALL_PROXY", f"http://127.0.0.1:{free_port()}")
    assert ask(saying(GOOD)).status == 200


def test_a_list_may_be_longer_than_other_answers() -> None:
    answer = ask(endless, options={"max_body_bytes": 5000}, most_bytes=20_000)
    assert (answer.oversized, len(answer.body)) == (True, 20_000)
