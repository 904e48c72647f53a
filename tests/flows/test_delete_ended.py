"""Sessions that ended are deleted after a while, where the installation or the plan says so."""

import logging
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import text

from orchestrator.flows.engine.services import Services
from orchestrator.flows.operations.delete_ended import delete_ended
from orchestrator.flows.reports.retention_lags import lags
from orchestrator.rules.installation.retention import SessionRetention
from orchestrator.rules.values import Plan
from tests.flows.conftest import MakeWorld
from tests.flows.test_archive import archive, ended, findings, numbers
from tests.world import HOUR, World

pytestmark = pytest.mark.slow

DAY = timedelta(days=1)


def deleting(world: World, seconds: float | None) -> Services:
    """Return the world's worker, where the installation deletes after this long."""
    retention = world.services.config.retention.model_copy(update={"auto_delete_after_seconds": seconds})
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

    count = delete_ended(deleting(world, installation))
    assert count == deleted
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
    archived = archive(world, sessions)
    assert archived == 1
    assert numbers(world)["quota"]["sessions"][0] == 1
    deleted = delete_ended(deleting(world, 3600))
    assert deleted == 1
    assert world.events(session_id)[-1] == "deleted"
    assert numbers(world)["quota"]["sessions"][0] == 0
    deleted = delete_ended(deleting(world, 3600))
    assert deleted == 0
    assert findings(world) == []


def garble(world: World, statement: str, row_id: str) -> None:
    """Write into the database what no release can read."""
    with world.services.database.engine.begin() as connection:
        assert connection.execute(text(statement), {"id": row_id}).rowcount == 1


def test_one_that_cannot_be_read_keeps_no_other_from_being_deleted(
    any_world: MakeWorld, caplog: pytest.LogCaptureFixture
) -> None:
    world = any_world()
    *good, bad = _four_that_ended(world)
    world.jump(3 * HOUR)
    garble(world, "UPDATE sessions SET attach = '[7]' WHERE id = :id", bad)
    _all_but_one_are_deleted(world, good, bad, caplog)
    garble(world, "UPDATE sessions SET attach = NULL WHERE id = :id", bad)
    deleted = delete_ended(deleting(world, 3600))
    assert deleted == 1


def test_an_archived_one_that_cannot_be_read_keeps_no_other_from_being_deleted(
    make_world: MakeWorld, caplog: pytest.LogCaptureFixture
) -> None:
    """On SQLite: PostgreSQL accepts only values of the column's type."""
    world = make_world()
    *good, bad = _four_that_ended(world)
    world.jump(41 * DAY)
    archived = archive(world)
    assert archived == 4
    garble(world, "UPDATE archived_sessions SET record = 'garbage' WHERE id = :id", bad)
    _all_but_one_are_deleted(world, good, bad, caplog)


def _four_that_ended(world: World) -> list[str]:
    """End four sessions, the last of them in the middle of an account's."""
    world.done("account.put", account_id="zeta", plan="payg", currency="USD")
    world.done("account.credit", account_id="zeta", amount="10", currency="USD", key="first")
    before, bad, after = [ended(world) for _ in range(3)]
    return [before, after, ended(world, account_id="zeta"), bad]


def _all_but_one_are_deleted(
    world: World, good: list[str], bad: str, caplog: pytest.LogCaptureFixture
) -> None:
    for deleted in (3, 0):
        caplog.clear()
        count = delete_ended(deleting(world, 3600))
        assert count == deleted
        reported = [one.getMessage() for one in caplog.records if one.levelno == logging.ERROR]
        assert len(reported) == 1
        assert bad in reported[0]
    for session_id in good:
        assert world.events(session_id)[-1] == "deleted"
    assert world.events(bad)[-1] == "stopped"


def test_an_account_that_cannot_be_read_keeps_no_other_from_having_sessions_deleted(
    any_world: MakeWorld, caplog: pytest.LogCaptureFixture
) -> None:
    world = any_world()
    world.done("account.put", account_id="zeta", plan="payg", currency="USD")
    world.done("account.credit", account_id="zeta", amount="10", currency="USD", key="first")
    mine, other = [ended(world) for _ in range(3)], ended(world, account_id="zeta")
    world.jump(3 * HOUR)
    garble(world, "UPDATE accounts SET quota = '[7]' WHERE id = :id", "acme")

    deleted = delete_ended(deleting(world, 3600))
    assert deleted == 1
    assert world.events(other)[-1] == "deleted"
    reported = [one.getMessage() for one in caplog.records if one.levelno == logging.ERROR]
    assert len(reported) == 1
    assert "account acme" in reported[0]
    garble(world, "UPDATE accounts SET quota = NULL WHERE id = :id", "acme")
    deleted = delete_ended(deleting(world, 3600))
    assert deleted == len(mine)


@pytest.mark.parametrize("archived", [False, True])
@pytest.mark.parametrize(("installation", "plan"), [(3600, None), (None, 3600)])
def test_what_should_have_been_deleted_and_is_not_makes_retention_late(
    any_world: MakeWorld, archived: bool, installation: float | None, plan: int | None
) -> None:
    world = any_world(plans={"payg": Plan(name="payg", auto_delete_after_seconds=plan)})
    ended(world)
    world.jump(41 * DAY)
    if archived:
        archived_now = archive(world)
        assert archived_now == 1

    def late() -> dict[str, timedelta]:
        with world.services.database.reading() as tx:
            found = lags(tx, deleting(world, installation).config, tx.now())
        return {one.of: one.behind for one in found if one.is_red and one.of != "jobs"}

    assert late().keys() == {"deletions"}
    assert abs(late()["deletions"] - (41 * DAY - HOUR)) <= HOUR
    deleted = delete_ended(deleting(world, installation))
    assert deleted == 1
    assert late() == {}
