"""Each process has a connection for every thread that may hold one for long, and some to spare for its jobs."""

import pytest

from orchestrator.flows.engine.crowd import OF_JOBS
from orchestrator.flows.engine.pipeline import SETTLERS
from orchestrator.rules.installation.liveness import CONTROL, KINDS
from orchestrator.tasks.pools import POOLS
from orchestrator.tasks.ticks import TICKS

#: The heartbeat, and a short transaction besides.
TO_SPARE = 2


@pytest.mark.parametrize("kind", KINDS)
def test_threads_of_a_process_do_not_wait_for_its_connections(kind: str) -> None:
    mine = [tick for tick in TICKS.values() if tick.kind == kind]
    settle = sum(SETTLERS for tick in mine if tick.step is not None)
    jobs_that_wait = OF_JOBS[1] if kind == CONTROL else 0
    at_most = 2 * POOLS[kind].connections
    assert len(mine) + settle + jobs_that_wait + TO_SPARE <= at_most
