"""Endpoints that hang hold at most half of a provider's slots: the others keep their interval."""

from collections.abc import Sequence

import pytest

from orchestrator.rules.values import Plan
from tests.flows.claiming import claim_pings
from tests.flows.conftest import MakeWorld
from tests.world import SECOND, World

PLANS = {"payg": Plan(name="payg", max_sessions=100, max_concurrent=100, max_nodes=2)}


def _unanswered(world: World, session_ids: Sequence[str], how: str) -> None:
    with world.services.database.engine.begin() as connection:
        for session_id in session_ids:
            connection.exec_driver_sql(
                f"UPDATE sessions SET {how}, next_step_at = last_ping_at WHERE id = '{session_id}'"
            )


@pytest.mark.parametrize("how", ["failures = 1, failing_since = last_ping_at", "busy_since = last_ping_at"])
def test_those_that_hang_leave_half_of_the_slots(make_world: MakeWorld, how: str) -> None:
    world = make_world(plans=PLANS)
    sessions = [world.run_session("llama") for _ in range(18)]
    hanging, well = set(sessions[:12]), set(sessions[12:])
    _unanswered(world, sorted(hanging), how)  # they are most overdue
    world.jump(31 * SECOND)
    worker = world.worker_of(max_in_flight=10)
    held: set[str] = set()
    for _ in range(3):  # what follows a full batch
        claims = claim_pings(worker, "alpha")
        held |= {claimed.context.id for claimed in claims}
    assert len(held & hanging) == 5, "half of the ten slots"
    assert len(held & well) == 5, "the other half goes to those that answer, though they came due later"
