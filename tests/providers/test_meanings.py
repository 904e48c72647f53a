"""Every registered driver applies the operator's meanings of errors."""

import pytest

from orchestrator.rules.values import Verdict
from tests.providers.stage import Stage


@pytest.mark.parametrize(
    ("means", "expected"),
    [("gone", Verdict.GONE), ("full", Verdict.TRANSIENT), ("out_of_balance", Verdict.OUT_OF_BALANCE)],
)
def test_the_configuration_knows_better_what_an_error_means(
    stage: Stage, means: str, expected: Verdict
) -> None:
    placed = stage.open()
    stage.fault("error_before", text="E-4711: come back")
    errors = [{"statuses": [500], "pattern": "e-4711", "means": means}]
    answer = stage.play(lambda driver: driver.probe(stage.target(placed)), errors=errors)
    assert answer.verdict is expected, answer


@pytest.mark.parametrize(("means", "whole_key"), [("throttled", False), ("key_throttled", True)])
def test_the_configuration_says_whether_the_whole_key_must_wait(
    stage: Stage, means: str, whole_key: bool
) -> None:
    placed = stage.open()
    stage.fault("throttled", retry_after=7, text="Rate limit exceeded for this API key: E-4711")
    errors = [{"statuses": [429], "pattern": "e-4711", "means": means}]
    answer = stage.play(lambda driver: driver.probe(stage.target(placed)), errors=errors)
    assert (answer.verdict, answer.whole_key) == (Verdict.THROTTLED, whole_key), answer
    plain = stage.play(lambda driver: driver.probe(stage.target(placed)))
    assert (plain.retry_after_seconds, plain.whole_key) == (7, True)
