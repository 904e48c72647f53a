"""Compressed answers to requests that forbid them: one layer is decoded within the bound, everything else is
refused."""

import gzip
import tracemalloc
import zlib
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.providers.http.client import NoAnswer, UnreadableBody, decode, encoding_of
from orchestrator.providers.port.answers import Response
from tests.providers.asking import ask
from tests.providers.rawserver import Handler, saying

BODY = b'{"a":1}'
BOUND = 1024 * 1024


def _raw_deflate(body: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(body) + packer.flush()


def _saying(body: bytes, encoding: str) -> Handler:
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {encoding}\r\nContent-Length: {len(body)}\r\n\r\n"
    return saying(head.encode() + body)


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", gzip.compress(BODY, mtime=0)),
        ("x-gzip", gzip.compress(BODY, mtime=0)),
        ("GZIP", gzip.compress(BODY, mtime=0)),
        ("deflate", zlib.compress(BODY)),
        ("deflate", _raw_deflate(BODY)),
        ("identity", BODY),
        ("identity, gzip", gzip.compress(BODY, mtime=0)),
    ],
)
def test_one_layer_is_decoded(encoding: str, body: bytes) -> None:
    assert ask(_saying(body, encoding)).json == {"a": 1}


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip, gzip", gzip.compress(gzip.compress(BODY, mtime=0), mtime=0)),
        ("br", b"\x0b\x03\x80{}\x03"),
        ("zstd", b"\x28\xb5\x2f\xfd"),
        ("deflate, gzip, br", b"x"),
        ("gzip", b"no gzip"),
        ("deflate", b"no deflate"),
        ("nonsense", BODY),
    ],
)
def test_what_cannot_be_read_safely_is_no_answer(encoding: str, body: bytes) -> None:
    with pytest.raises(NoAnswer, match="the body"):
        ask(_saying(body, encoding))


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_a_bomb_costs_no_more_than_the_bound(layers: int) -> None:
    """320 bytes of doubly compressed zeros would unpack to 192 MiB."""
    bomb = b"\0" * (192 * BOUND)
    for _ in range(layers):
        bomb = gzip.compress(bomb)
    handler = _saying(bomb, ", ".join(["gzip"] * layers))
    tracemalloc.start()
    try:
        if layers == 1:
            answer = ask(handler)
            assert (answer.oversized, len(answer.body), answer.json) == (True, BOUND, None)
        else:
            with pytest.raises(NoAnswer, match="gzip, gzip"):
                ask(handler)
        assert tracemalloc.get_traced_memory()[1] < 16 * BOUND
    finally:
        tracemalloc.stop()


@given(st.binary(max_size=3000), st.integers(min_value=1, max_value=4000))
def test_decoding_never_passes_its_bound(body: bytes, bound: int) -> None:
    decoded, longer = decode(gzip.compress(body), "gzip", bound)
    assert (decoded, longer) == (body[:bound], len(body) > bound)


@given(st.binary(max_size=300))
def test_any_body_is_decoded_or_refused(body: bytes) -> None:
    for encoding in ("gzip", "deflate"):
        try:
            decoded, _ = decode(body, encoding, 1000)
        except UnreadableBody:
            continue
        assert len(decoded) <= 1000


def test_an_unknown_encoding_is_named_in_bounded_length() -> None:
    with pytest.raises(UnreadableBody) as refused:
        encoding_of({"content-encoding": "x" * 5000})
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"id": "a\\u0000b"}', {"id": "a\ufffdb"}),
        (b'{"a\\ud800": ["\\udfff", 1, null, true]}', {"a\ufffd": ["\ufffd", 1, None, True]}),
        (b'{"id": "\xed\xa0\x80"}', {"id": "\ufffd"}),
        (b'{"id": "two\\nlines\\u001b[2J"}', {"id": "two\nlines\ufffd[2J"}),
        ('{"id": "東京 👩\u200d🚀"}'.encode(), {"id": "東京 👩\u200d🚀"}),
        (b'data: {"id": "\\u0000"}\n\n', {"id": "\ufffd"}),
    ],
)
def test_texts_of_an_answer_are_clean_at_the_edge(body: bytes, expected: object) -> None:
    answer = Response(status=200, body=body, received_at=datetime(2026, 1, 1, tzinfo=UTC))
    assert answer.json == expected


def test_the_text_of_an_answer_is_clean_too() -> None:
    answer = Response(status=500, body=b"a\0b\x1b\xff", received_at=datetime(2026, 1, 1, tzinfo=UTC))
    assert answer.text == "a\ufffdb\ufffd\ufffd"
