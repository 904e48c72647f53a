"""Requests of calls that repeat are what httpx would make of each call, and share what is the same for all."""

from dataclasses import replace

import httpx
import pytest

from orchestrator.providers.http import transport
from orchestrator.providers.http.calls import Call, ClientOptions
from orchestrator.providers.http.transport import Requests
from orchestrator.providers.port.driver import Auth, Secret

PING = Call(
    method="POST",
    url="https://user@Example.com:8443/v1/chat completions?x=1",
    timeout_seconds=1,
    auth=Auth.BEARER,
    secret=Secret(ref="env:A", value="sk-a"),
    content=b'{"model":"m"}',
    repeats=True,
)


def shown(request: httpx.Request) -> tuple[str, str, dict[str, str], bytes]:
    return request.method, str(request.url), dict(request.headers), request.read()


@pytest.mark.parametrize(
    "call",
    [
        PING,
        replace(PING, auth=Auth.BOTH),
        replace(PING, auth=Auth.BASIC),
        replace(PING, secret=None),
        replace(PING, headers={"Session_ID": "0x1", "Content-Type": "text/json", "Authorization": "no"}),
        replace(PING, content=b""),
        replace(PING, method="GET", content=b"{}"),
    ],
)
def test_a_request_that_repeats_is_what_httpx_makes_of_it(call: Call) -> None:
    sent = Requests(ClientOptions())
    sent.request_of(replace(PING, secret=Secret(ref="env:B", value="sk-b"), headers={"session_id": "0x2"}))
    assert shown(sent.request_of(call)) == shown(sent.request_of(replace(call, repeats=False)))


def test_calls_that_are_alike_share_one_request() -> None:
    sent = Requests(ClientOptions())
    assert sent.request_of(PING) is sent.request_of(replace(PING, timeout_seconds=2))
    assert sent.request_of(PING) is not sent.request_of(replace(PING, content=b"{}"))


def test_a_secret_that_no_header_can_carry_is_an_error() -> None:
    with pytest.raises(ValueError, match="ascii"):
        Requests(ClientOptions()).request_of(replace(PING, secret=Secret(ref="env:A", value="sk-ö")))


def test_what_is_kept_is_bounded_and_makes_room_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "MOST_KEPT", 3)
    monkeypatch.setattr(transport, "_MADE_BEFORE_ROOM", 9)
    sent = Requests(ClientOptions())
    for n in range(10):
        url = f"https://example.com/{n}"
        assert str(sent.request_of(replace(PING, url=url)).url) == url
    assert len(sent._kept) <= 3
    assert len(sent._addresses) <= 3
    last = replace(PING, url="https://example.com/9")
    assert sent.request_of(last) is not sent.request_of(last)
    assert sent.request_of(last) is sent.request_of(last)
