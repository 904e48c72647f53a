"""Sessions that ended are deleted after a while, where the installation or the plan says so."""

from dataclasses import replace
from datetime import timedelta

import pytest

from orchestrator.flows.delete_ended import delete_ended
from orchestrator.flows.services import Services
from orchestrator.rules.retention import SessionRetention
from orchestrator.rules.values import Plan
from tests.flows.conftest import MakeWorld
from tests.flows.test_archive import archive, ended, findings, numbers
from tests.world import HOUR, World

DAY = timedelta(days=1)


def deleting(world: World, seconds: float | None) -> Services:
    """The world's worker, where the installation deletes after so long."""
    retention = replace(world.services.config.retention, auto_delete_after_seconds=seconds)
    return replace(world.services, config=replace(world.services.config, retention=retention))


@pytest.mark.parametrize(
    ("installation", "plan", "deleted"),
    [
        pytest.param(None, None, 0, id="off"),
        pytest.param(3600, None, 1, id="the installation says so"),
        pytest.param(None, 3600, 1, id="the plan says so"),
        pytest.param(3600, 0, 0, id="the plan says never"),
        pytest.param(7200, None, 0, id="not yet"),
    ],
)
def test_a_session_that_ended_stops_counting(
    any_world: MakeWorld, installation: float | None, plan: int | None, deleted: int
) -> None:
    plans = {"payg": Plan(name="payg", max_sessions=2, auto_delete_after_seconds=plan)}
    world = any_world(plans=plans)
    session_id = ended(world, name="mine")
    created = world.create_session(start=False)
    world.jump(1.5 * HOUR)
    assert world.refused("session.create", account_id="acme", model_id="llama") == "quota_total_exceeded"

    assert delete_ended(deleting(world, installation)) == deleted
    assert (world.session(session_id).deleted_at is not None) == bool(deleted)
    assert world.session(created).deleted_at is None, "one that never started is not over"
    if deleted:
        assert world.events(session_id)[-1] == "deleted"
        world.create_session(name="mine")
    assert findings(world) == []


@pytest.mark.parametrize("sessions", [SessionRetention.ARCHIVE, SessionRetention.DELETE])
def test_an_archived_session_is_deleted_as_well(any_world: MakeWorld, sessions: SessionRetention) -> None:
    world = any_world()
    session_id = ended(world)
    world.jump(41 * DAY)
    assert archive(world, sessions) == 1
    assert numbers(world)["quota"]["sessions"][0] == 1
    assert delete_ended(deleting(world, 3600)) == 1
    assert world.events(session_id)[-1] == "deleted"
    assert numbers(world)["quota"]["sessions"][0] == 0
    assert delete_ended(deleting(world, 3600)) == 0
    assert findings(world) == []
