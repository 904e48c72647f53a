"""A full batch is far below the bounds of a message, and what would fill the memory is refused unread."""

import json
from typing import Any

import pytest

from orchestrator.rules.installation.message_size import (
    LARGEST_BODY,
    LARGEST_ENTRY,
    MOST_VALUES,
    check_body,
    check_entry,
)
from orchestrator.rules.installation.messages import UnreadableMessage

INTERACTIONS = {
    "session_id": "x" * 255,
    "count": 10**9,
    "ok": False,
    "began": "2026-01-01T00:00:00.000000+00:00",
    "ended": "2026-01-01T00:00:00.000000+00:00",
}


def test_a_full_batch_takes_half_of_a_body_and_a_third_of_its_values() -> None:
    body = json.dumps([[], {"batch": [INTERACTIONS] * 10_000}, {}]).encode()
    assert len(body) < LARGEST_BODY * 0.55
    check_body(body + b"," * (MOST_VALUES * 3 // 5))


@pytest.mark.parametrize("form", [bytes, bytearray, memoryview, bytes.decode])
def test_many_values_are_refused_whatever_they_are(form: Any) -> None:
    for value in (b"[]", b"{}", b"1", b'"a"', b'{"a":1}', b"[[[]]]"):
        check_body(form(b"[" + b",".join([value] * (MOST_VALUES // 5)) + b"]"))
        with pytest.raises(UnreadableMessage, match=f"the body has more than {MOST_VALUES} values"):
            check_body(form(b"[" + b",".join([value] * (MOST_VALUES + 1)) + b"]"))


@pytest.mark.parametrize("form", [bytes, memoryview, bytes.decode])
def test_a_body_of_many_bytes_is_refused(form: Any) -> None:
    check_body(form(b"x" * LARGEST_BODY))
    with pytest.raises(UnreadableMessage, match="larger than"):
        check_body(form(b"x" * (LARGEST_BODY + 1)))


def test_an_entry_of_many_bytes_or_values_is_refused() -> None:
    check_entry(b"x" * LARGEST_ENTRY)
    with pytest.raises(UnreadableMessage, match="the message is larger than"):
        check_entry(b"x" * (LARGEST_ENTRY + 1))
    with pytest.raises(UnreadableMessage, match="the message has more than"):
        check_entry(b"[" * (MOST_VALUES + 1))


@pytest.mark.parametrize("body", [None, 7, [[]], {}])
def test_what_a_transport_has_read_already_is_not_looked_at(body: Any) -> None:
    check_body(body)
