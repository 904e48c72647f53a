"""What is no HTTP gets a problem document like every other refusal, and harms no other request."""

import json
import socket

import pytest

from tests.api.stage import WAIT_LIMIT, Api


def sent(api: Api, data: bytes) -> tuple[str, bytes]:
    """Send this, and return head and body of what comes back until the connection is closed."""
    host, port = api.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=WAIT_LIMIT) as connection:
        connection.sendall(data)
        answer = b""
        while part := connection.recv(65_536):
            answer += part
    head, _, body = answer.partition(b"\r\n\r\n")
    return head.decode().lower(), body


@pytest.mark.parametrize(
    "data",
    [
        b"GET /healthz HTTP/1.1\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"POST /v1/sessions HTTP/1.1\r\nHost: a\r\nContent-Length: many\r\n\r\n",
        b"POST /v1/sessions HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"GET /v1/\xff\x00 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nBad header: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"no request at all\r\n\r\n",
    ],
)
def test_what_is_no_http_is_a_problem(api: Api, data: bytes) -> None:
    head, body = sent(api, data)
    assert head.startswith("http/1.1 400 ")
    assert "content-type: application/problem+json" in head
    assert "connection: close" in head
    problem = json.loads(body)
    assert (problem["status"], problem["code"]) == (400, "malformed")
    assert "Host" in problem["detail"]
    assert api.get("/sessions")["items"] == []


def test_a_request_that_becomes_none_while_it_is_answered_ends_its_connection(api: Api) -> None:
    chunked = b"GET /healthz HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    head, _ = sent(api, chunked + b"no length\r\n\r\n")
    assert head.startswith("http/1.1 ")
    assert api.get("/sessions")["items"] == []
