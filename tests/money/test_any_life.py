"""Whatever users, platforms, workers and time do: quotas hold, money adds up."""

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.money.history import History
from tests.money.machine import machine_on
from tests.money.stage import Stage

THOROUGH = settings(
    max_examples=60,
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)


@pytest.mark.timeout(900)
def test_quotas_hold_and_money_adds_up_whatever_happens(machinery: tuple[Stage, History]) -> None:
    run_state_machine_as_test(machine_on(*machinery), settings=THOROUGH)
