"""Secrets never appear in text for people."""

import asyncio
import logging

import pytest

from orchestrator.providers.http.client import NoAnswer
from orchestrator.providers.port.driver import Auth, Secret
from orchestrator.providers.port.secrets import DETAIL_LIMIT, Redactor, beginning, brief, hidden_forms, redact
from tests.providers.asking import ask
from tests.providers.rawserver import GOOD, Handler, read_request, saying

SECRET = Secret(ref="env:KEY", value="sk-planted-secret")


@pytest.mark.parametrize(
    ("value", "echoed"),
    [
        ("tiny", "the key tiny is wrong"),
        ("name:pass/word", "no user name with password pass/word"),
        ("name:pass/word", "got Basic bmFtZTpwYXNzL3dvcmQ="),
        ("a b/c", "GET /?key=a%20b%2Fc"),
    ],
)
def test_every_form_of_a_secret_is_hidden(value: str, echoed: str) -> None:
    shown = redact(echoed, hidden_forms(Secret(ref="r", value=value)))
    assert "***" in shown
    assert not any(form in shown for form in hidden_forms(Secret(ref="r", value=value)))


@pytest.mark.parametrize(
    "text",
    ["Bearer abcdefgh12345", "key sk-proj-abc123456 of somebody", "http://user:hunter22@host/path"],
)
def test_what_looks_like_a_secret_is_hidden(text: str) -> None:
    assert "***" in redact(text, ())
    assert not any(part in redact(text, ()) for part in ("abcdefgh", "abc123456", "hunter22"))


def test_a_detail_is_one_printable_line_of_bounded_length() -> None:
    line = brief("one\n\ttwo\x1b[31m\x00 " + "x" * 1000)
    assert line.startswith("one two[31m x")
    assert len(line) == DETAIL_LIMIT


def test_a_secret_across_the_cut_does_not_leave_its_half() -> None:
    secret = "s" * 40
    assert "sss" not in brief("x" * (DETAIL_LIMIT - 10) + secret, (secret,))


@pytest.mark.parametrize("before", range(44))
def test_of_a_secret_across_a_cut_no_part_is_left(before: int) -> None:
    secret = "S" * 20 + "E" * 20
    text = "x" * (100 - before) + (secret + " ") * 3
    shown = beginning(text, (secret,), 100)
    assert not {"S", "E"} & set(shown), shown
    assert len(shown) <= 100


def test_what_is_short_enough_is_kept_to_its_end() -> None:
    assert beginning("all of it", ("secret",), 9) == "all of it"
    assert beginning("a secret!", ("secret",), 100) == "a ***!"
    assert beginning("0123456789", (), 5) == "01234"


def test_the_secrets_of_other_calls_are_hidden_too_once_they_are_known() -> None:
    known: set[str] = set()
    redactor = Redactor(lambda: known)
    assert redactor.forms(SECRET) == hidden_forms(SECRET)
    known |= {"neighbour:pass/word-1", "EMPTY"}
    said = (
        "neither neighbour:pass/word-1 nor pass/word-1 nor bmVpZ2hib3VyOnBhc3Mvd29yZC0x, and EMPTY is a word"
    )
    assert redact(said, redactor.forms(SECRET)) == "neither *** nor *** nor ***, and EMPTY is a word"


def test_a_secret_is_not_in_its_repr() -> None:
    assert "hunter2" not in repr(Secret(ref="r", value="hunter2"))


@pytest.mark.parametrize(
    ("auth", "headers"),
    [
        (Auth.BEARER, {"authorization: bearer sk-planted-secret"}),
        (Auth.X_API_KEY, {"x-api-key: sk-planted-secret"}),
        (Auth.BOTH, {"authorization: bearer sk-planted-secret", "x-api-key: sk-planted-secret"}),
        (Auth.BASIC, {"authorization: basic c2stcgxhbnrlzc1zzwnyzxq="}),
        (Auth.NONE, set()),
    ],
)
def test_the_secret_travels_as_configured(auth: Auth, headers: set[str]) -> None:
    heads: list[bytes] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await read_request(reader))
        writer.write(GOOD)

    ask(listen, auth=auth, secret=SECRET)
    lines = heads[0].decode().lower().split("\r\n")
    assert {line for line in lines if line.startswith(("authorization", "x-api-key"))} == headers


@pytest.mark.parametrize(
    "handler", [saying(GOOD), saying(b""), saying(b"HTTP/1.1 sk-planted-secret\r\n\r\n")]
)
def test_secrets_stay_out_of_messages_and_logs(handler: Handler, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    try:
        seen = repr(ask(handler, secret=SECRET, auth=Auth.BEARER))
    except NoAnswer as error:
        seen = str(error)
    assert SECRET.value not in seen + caplog.text + repr(SECRET)
