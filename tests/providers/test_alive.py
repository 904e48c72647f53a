"""Which answers with status 200 are alive: published ones, and any JSON at all."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.providers.chat.ping import judge
from orchestrator.providers.port.answers import Response
from orchestrator.rules.values import ModelType, Verdict
from tests.providers.known_answers import CHAT, SPEECH, KnownAnswer

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def answer(body: Any, status: int = 200) -> Response:
    return Response(status=status, body=json.dumps(body).encode(), received_at=NOW)


@pytest.mark.parametrize("known", CHAT, ids=str)
def test_what_servers_answer_to_a_chat(known: KnownAnswer) -> None:
    assert judge(answer(known.body), ModelType.LLM) is known.verdict


@pytest.mark.parametrize("known", SPEECH, ids=str)
def test_what_servers_answer_to_speech(known: KnownAnswer) -> None:
    assert judge(answer(known.body), ModelType.ASR) is known.verdict


def test_a_page_or_a_torn_body_transcribes_nothing() -> None:
    for raw in (b"<html></html>", b'{"text": "Hi', b"", b"Hi"):
        given_answer = Response(status=200, body=raw, received_at=NOW)
        assert judge(given_answer, ModelType.ASR) is Verdict.MISCONFIGURED


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
WORDS = st.sampled_from(
    [
        "choices",
        "message",
        "delta",
        "text",
        "error",
        "errors",
        "code",
        "type",
        "usage",
        "completion_tokens",
        "detail",
        "status",
        "statusCode",
        "msg",
        "loc",
        "finish_reason",
        "estimated_time",
    ]
)


def _deeper(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(inner, max_size=4) | st.dictionaries(WORDS | st.text(max_size=3), inner, max_size=5)


ANYTHING = st.recursive(SCALARS, _deeper, max_leaves=25)
BODIES = ANYTHING | st.dictionaries(WORDS, ANYTHING, max_size=6)


@given(BODIES, st.sampled_from(list(ModelType)), st.sampled_from([200, 200, 201, 400, 404, 429, 500, 503]))
def test_any_json_at_all_has_a_verdict_and_only_the_rule_is_alive(
    body: Any, kind: ModelType, status: int
) -> None:
    verdict = judge(answer(body, status), kind)
    if verdict is Verdict.ALIVE and status == 200:
        assert isinstance(body, Mapping)
        assert not body.get("error")
        assert _speaks(body) if kind is ModelType.ASR else _answers(body)


def _speaks(body: Mapping[str, Any]) -> bool:
    return isinstance(body.get("text"), str)


def _answers(body: Mapping[str, Any]) -> bool:
    """State the rule once more, in another way."""
    if body["choices"] in ([], None):
        spent = body["usage"]["completion_tokens"]
        return type(spent) is int and spent > 0
    for one in body["choices"]:
        if isinstance(one, dict) and not one.get("error") and one.get("finish_reason") != "error":
            kinds = [type(one.get("message")), type(one.get("delta")), type(one.get("text"))]
            if dict in kinds[:2] or kinds[2] is str:
                return True
    return False
