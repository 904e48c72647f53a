"""Every driver that is registered here takes the operator's word on what errors mean."""

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
