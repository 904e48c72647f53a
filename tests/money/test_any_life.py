"""After any acts of users, platforms, workers and time, quotas hold and money adds up."""

import logging
import os
from collections import Counter

import pytest
from hypothesis import HealthCheck, settings

from tests.lives import play_lives, too_rare
from tests.money.history import History
from tests.money.machine import MoneyMachine
from tests.money.stage import Stage

pytestmark = pytest.mark.long

log = logging.getLogger(__name__)
#: Lives that are tried; `make proof` tries more.
LIVES = int(os.environ.get("LIVES", "35"))
THOROUGH = settings(
    max_examples=LIVES,
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)
#: What must have happened over the runs for the rest to mean something; usually one run has many times that.
HAPPENED = {
    "steps": 1000,
    "session.failed_over": 2,
    "session.unproven": 1,
    "admitted beside a debt": 1,
    "overdraft lowered": 2,
    "quota unlimited": 2,
    "hard stop lowered": 1,
    "ran into a new period": 2,
    "stopped: balance_exhausted": 4,
    "stopped: budget_exhausted": 4,
    "stopped: dead": 1,
    "stopped: max_cost": 2,
    "stopped: queue_timeout": 2,
}


def machine_on(stage: Stage, history: History) -> type[MoneyMachine]:
    """Return the machine over one database, with nothing counted yet."""
    here = {"stage": stage, "history": history, "counts": Counter[str]()}
    return type("MoneyMachineHere", (MoneyMachine,), here)


@pytest.mark.timeout(1800)
def test_quotas_hold_and_money_adds_up_whatever_happens(
    machinery: tuple[Stage, History], pytestconfig: pytest.Config
) -> None:
    machine = machine_on(*machinery)
    play_lives(machine, THOROUGH, lambda: too_rare(machine.counts, HAPPENED), pytestconfig)
    log.warning("%s", dict(sorted(machine.counts.items())))
