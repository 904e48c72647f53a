"""Whatever users, platforms, workers and time do: quotas hold, money adds up."""

import logging

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.money.history import History
from tests.money.machine import machine_on
from tests.money.stage import Stage

log = logging.getLogger(__name__)
THOROUGH = settings(
    max_examples=55,
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)


#: What must have happened often enough over the run for the rest to mean something.
HAPPENED = {
    "steps": 2000,
    "session.failed_over": 4,
    "session.unproven": 8,
    "admitted beside a debt": 8,
    "overdraft lowered": 4,
    "quota unlimited": 3,
    "stopped: balance_exhausted": 10,
    "stopped: dead": 2,
    "stopped: max_cost": 2,
    "stopped: queue_timeout": 4,
}


@pytest.mark.timeout(1800)
def test_quotas_hold_and_money_adds_up_whatever_happens(machinery: tuple[Stage, History]) -> None:
    machine = machine_on(*machinery)
    run_state_machine_as_test(machine, settings=THOROUGH)
    log.info("%s", dict(sorted(machine.counts.items())))
    rare = {what: machine.counts[what] for what, least in HAPPENED.items() if machine.counts[what] < least}
    assert not rare, f"too rare to prove anything: {rare}"
