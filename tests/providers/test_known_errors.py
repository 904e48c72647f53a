"""Every known error of a server has its verdict; and the table covers every promised situation."""

import json
from collections import Counter
from datetime import UTC, datetime

import pytest

from orchestrator.providers.chat.ping import judge
from orchestrator.providers.port.answers import Response
from orchestrator.rules.values import ModelType
from tests.providers.known_answers import ERRORS, KnownAnswer

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize("known", ERRORS, ids=str)
def test_the_verdict_of_a_known_error(known: KnownAnswer) -> None:
    body = json.dumps(known.body).encode()
    answer = Response(status=known.status, body=body, headers=known.headers, received_at=NOW)
    assert judge(answer, ModelType.LLM) is known.verdict


def test_the_ten_most_used_servers_and_gateways_are_there() -> None:
    wanted = {
        "OpenAI",
        "vLLM",
        "SGLang",
        "TGI",
        "llama.cpp",
        "Ollama",
        "LM Studio",
        "LocalAI",
        "NIM",
        "LiteLLM",
    }
    assert wanted <= {known.server for known in ERRORS}
    assert len({str(known) for known in ERRORS}) == len(ERRORS)
    situations = Counter(known.situation for known in ERRORS)
    for situation in ("unknown_model", "bad_key", "no_credit", "overload", "loads"):
        assert situations[situation] > 2
