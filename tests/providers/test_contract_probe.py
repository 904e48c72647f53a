"""The ping's part of the contract: a verdict for every fault, over real HTTP."""

import time
from typing import Any

import pytest

from orchestrator.providers.port.driver import Driver, Probe
from orchestrator.providers.port.errors import ProviderError
from orchestrator.rules.values import ModelType, Verdict
from orchestrator.simulator import SimulatorServer
from tests.drivers import MODEL, platform_of
from tests.providers.stage import EAR, KEY, Stage, stage_of
from tests.waiting import free_port


def probe(stage: Stage, **changes: Any) -> Probe:
    placed = stage.open()
    return stage.play(lambda driver: driver.probe(stage.target(placed, **changes)))


VERDICTS = [
    ("dead", {}, Verdict.TRANSIENT),
    ("dead", {"how": "error"}, Verdict.TRANSIENT),
    ("cut_before_effect", {}, Verdict.TRANSIENT),
    ("cut_after_effect", {}, Verdict.TRANSIENT),
    ("cut_in_body", {}, Verdict.TRANSIENT),
    ("error_before", {}, Verdict.TRANSIENT),
    ("error_before", {"text": "Error code: 429 - slow down"}, Verdict.THROTTLED),
    ("error_in_200", {}, Verdict.TRANSIENT),
    ("error_in_200", {"code": "insufficient_quota"}, Verdict.OUT_OF_BALANCE),
    ("error_in_200", {"text": "session expired"}, Verdict.GONE),
    ("empty_choices", {}, Verdict.TRANSIENT),
    ("loading", {}, Verdict.LOADING),
    ("gone", {}, Verdict.GONE),
    ("expired", {}, Verdict.GONE),
    ("unauthorized", {}, Verdict.CREDENTIALS),
    ("forbidden", {}, Verdict.CREDENTIALS),
    *(("out_of_balance", {"status": status}, Verdict.OUT_OF_BALANCE) for status in (400, 402, 403, 429)),
    ("html", {}, Verdict.TRANSIENT),
    ("html", {"status": 200}, Verdict.MISCONFIGURED),
    ("html", {"status": 404}, Verdict.MISCONFIGURED),
    ("invalid_json", {}, Verdict.MISCONFIGURED),
    ("huge_body", {"size_bytes": 3_000_000}, Verdict.MISCONFIGURED),
    ("max_tokens_reached", {}, Verdict.ALIVE),
    ("redirect", {"location": "http://elsewhere.invalid/"}, Verdict.MISCONFIGURED),
    *(("status", {"status": status}, Verdict.TRANSIENT) for status in (408, 425, 502, 503, 504)),
    ("status", {"status": 400, "body": {"error": "no"}}, Verdict.MISCONFIGURED),
    ("status", {"status": 404, "body": {"detail": "Not Found"}}, Verdict.MISCONFIGURED),
    ("status", {"status": 200, "body": {"ok": True}}, Verdict.MISCONFIGURED),
]


@pytest.mark.parametrize(("fault", "params", "expected"), VERDICTS)
def test_each_fault_has_its_verdict(
    stage: Stage, fault: str, params: dict[str, Any], expected: Verdict
) -> None:
    placed = stage.open()
    stage.fault(fault, **params)
    answer = stage.play(lambda driver: driver.probe(stage.target(placed)))
    if fault == "cut_in_body" and stage.platform.streams:
        expected = Verdict.ALIVE  # the first chunk arrived, and the driver did not wait for more
    assert answer.verdict is expected, answer
    expired = answer.verdict is Verdict.GONE and "expired" in answer.detail
    assert answer.expired is expired, "some only say that there is no such session"
    assert bool(answer.detail) is (answer.verdict is not Verdict.ALIVE)
    assert len(answer.detail) <= 300


@pytest.mark.parametrize(("fault", "params"), [("hang", {}), ("slow", {"seconds": 3})])
def test_a_ping_ends_at_its_deadline(stage: Stage, fault: str, params: dict[str, Any]) -> None:
    placed = stage.open()
    stage.fault(fault, **params)
    begun = time.monotonic()
    answer = stage.play(lambda driver: driver.probe(stage.target(placed, timeout_seconds=0.3)))
    assert answer.verdict is Verdict.TRANSIENT
    assert time.monotonic() - begun < 2


def test_a_slow_answer_within_the_deadline_is_alive(stage: Stage) -> None:
    placed = stage.open()
    stage.fault("slow", seconds=0.3)
    answer = stage.play(lambda driver: driver.probe(stage.target(placed)))
    assert answer.verdict is Verdict.ALIVE
    assert answer.latency_ms >= 290


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_ping_to_nobody_is_transient(stage: Stage, scheme: str) -> None:
    target = stage.elsewhere(f"{scheme}://127.0.0.1:{free_port()}/v1")
    assert stage.play(lambda driver: driver.probe(target)).verdict is Verdict.TRANSIENT


def test_a_ping_with_a_failed_handshake_is_transient(stage: Stage) -> None:
    target = stage.elsewhere(stage.url.replace("http:", "https:"))
    assert stage.play(lambda driver: driver.probe(target)).verdict is Verdict.TRANSIENT


def test_redirects_are_never_followed(stage: Stage) -> None:
    lure = stage.server.add_upstream("lure", "openai", [KEY], [MODEL])
    placed = stage.open()
    stage.fault("redirect", location=f"{lure}/chat/completions", status=308)
    stage.play(lambda driver: driver.probe(stage.target(placed)))
    assert stage.server.log(upstream="lure") == []


def test_a_ping_counts_its_tokens(stage: Stage) -> None:
    assert (probe(stage).tokens > 0) is not stage.platform.streams


@pytest.mark.parametrize(
    ("faults", "variant"),
    [
        pytest.param([], "max_tokens:16", id="plain"),
        pytest.param([("refuses_max_tokens", {})], "max_completion_tokens:16", id="the new name"),
        pytest.param([("min_tokens", {"at_least": 32})], "max_tokens:32", id="more"),
    ],
)
def test_a_ping_learns_its_variant_once(
    stage: Stage, faults: list[tuple[str, dict[str, Any]]], variant: str
) -> None:
    placed = stage.open()
    stage.server.clear_log()
    for name, params in faults:
        stage.fault(name, **params)

    async def three_pings(driver: Driver) -> list[Probe]:
        first, second = [await driver.probe(stage.target(placed)) for _ in range(2)]
        return [first, second, await driver.probe(stage.target(placed, variant=first.variant))]

    answers = stage.play(three_pings)
    assert [answer.variant for answer in answers] == [variant] * 3
    assert {answer.verdict for answer in answers} == {Verdict.ALIVE}
    assert len(stage.calls("chat")) == 3 + len(faults)


def test_a_remembered_variant_that_fails_falls_back(stage: Stage) -> None:
    placed = stage.open()
    stage.fault("refuses_max_completion_tokens")
    target = stage.target(placed, variant="max_completion_tokens:16")
    answer = stage.play(lambda driver: driver.probe(target))
    assert (answer.verdict, answer.variant) == (Verdict.ALIVE, "max_tokens:16")


def test_fallbacks_without_end_are_misconfigured(stage: Stage) -> None:
    placed = stage.open()
    stage.server.clear_log()
    stage.fault("min_tokens", at_least=10_000)
    answer = stage.play(lambda driver: driver.probe(stage.target(placed)))
    assert answer.verdict is Verdict.MISCONFIGURED
    assert len(stage.calls("chat")) == 2


def test_a_ping_that_is_too_late_is_not_begun(stage: Stage) -> None:
    placed = stage.open()
    stage.server.clear_log()
    late = time.monotonic() - 1
    answer = stage.play(lambda driver: driver.probe(stage.target(placed, begin_by=late)))
    assert answer.not_begun
    assert stage.calls("chat") == []


@pytest.mark.parametrize("fault", ["error_before", "forbidden"])
def test_an_echoed_secret_is_hidden(stage: Stage, fault: str) -> None:
    placed = stage.open()
    stage.fault(fault, text=f"key {KEY} with Bearer {KEY} is unhappy")
    answer = stage.play(lambda driver: driver.probe(stage.target(placed)))
    assert KEY not in repr(answer)
    assert "unhappy" in answer.detail


@pytest.mark.parametrize("fault", ["error_before", "forbidden"])
def test_an_open_hides_an_echoed_secret(opener: Stage, fault: str) -> None:
    opener.fault(fault, operation=opener.platform.open_operation, text=f"key {KEY} is unhappy")
    with pytest.raises(ProviderError) as raised:
        opener.open()
    assert KEY not in repr(raised.value)
    assert "unhappy" in str(raised.value)


def test_speech_models_are_pinged_by_silence(server: SimulatorServer) -> None:
    stage = stage_of(server, platform_of("openai"))
    placed = stage.open(model=EAR, model_type=ModelType.ASR)
    target = stage.target(placed, model=EAR, model_type=ModelType.ASR)
    answer = stage.play(lambda driver: driver.probe(target))
    assert answer.verdict is Verdict.ALIVE
    assert [call.model for call in stage.calls("transcribe")] == [EAR]


def test_models_that_see_are_pinged_by_text_alone(stage: Stage) -> None:
    placed = stage.open(model_type=ModelType.VLM)
    target = stage.target(placed, model_type=ModelType.VLM)
    answer = stage.play(lambda driver: driver.probe(target))
    assert answer.verdict is Verdict.ALIVE
    assert stage.calls("chat")
    assert not stage.calls("transcribe")
