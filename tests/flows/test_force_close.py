"""Sessions that an operator ends by hand: with proof they are closed; without, they stay in the report with their
money."""

from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

from orchestrator.flows.reports import leftovers
from orchestrator.flows.reports.measure import measure
from orchestrator.providers.port.driver import Placed
from orchestrator.rules.states import PlacementState, State, Step
from orchestrator.store.queries.placements import PLACEMENTS
from tests.due import step_of
from tests.flows.conftest import MakeWorld
from tests.flows.hands import Hands
from tests.world import HOUR, MINUTE, START, World

pytestmark = pytest.mark.slow

FORCE = {"reason": "operator", "force": True, "by": "ann@desk", "detail": "the contract there has ended"}
CONFIRM = {"reason": "operator", "confirm": True, "detail": "seen in the console"}


def report(world: World, **wanted: Any) -> list[dict[str, Any]]:
    with world.services.database.reading() as tx:
        return leftovers.listed(tx, world.clock.now, **wanted)


def orphans(world: World) -> list[dict[str, Any]]:
    with world.services.database.reading() as tx:
        return leftovers.orphans(tx, world.clock.now)


def an_orphan(world: World) -> str:
    """Let a worker with an expired lease come back with another handle than the one found meanwhile."""
    world.create_session("moral", stop={"max_duration_seconds": 600})
    slow = Hands(world.another_worker())
    answer, _ = slow.opened(slow.claim_one(Step.OPEN))
    world.pass_time(15 * MINUTE)
    assert isinstance(answer.said, Placed)
    slow.settle(replace(answer, said=replace(answer.said, handle="0xelsewhere")))
    [orphan] = orphans(world)
    assert orphan["orphan"]
    found: str = orphan["placement_id"]
    return found


def test_a_forced_close_is_kept_with_who_why_and_what_it_may_have_cost(make_world: MakeWorld) -> None:
    world = make_world(leaked=1)
    session_id = world.run_session("moral", nodes=2)
    world.server.fault("close_fails", operation="close")
    world.done("session.close", session_id=session_id)
    world.pass_time(30 * MINUTE)
    [unproven] = report(world)
    assert (unproven["id"], unproven["state"], unproven["age_seconds"]) == (session_id, "stopping", 1800)
    assert unproven["attempts"] > 8, "all tries of the close"
    assert "Error closing session" in unproven["last_answer"]
    assert (unproven["money_at_risk"], unproven["forced"]) == ("1.20", None)

    forced = world.done("session.close", session_id=session_id, **FORCE)
    assert (forced["state"], forced["unproven_since"]) == ("stopped", None)
    world.pass_time(5 * HOUR)
    for entries in (report(world), report(world, only_forced=True)):
        [entry] = entries
        assert entry["forced"] == {
            "at": "2026-01-01T12:30:00Z",
            "by": "ann@desk",
            "why": "the contract there has ended",
        }
        assert (entry["money_at_risk"], entry["unproven_since"]) == ("1.20", None)
    [reported] = world.view(session_id)["forced_closes"]
    assert (reported["by"], reported["money_at_risk"]) == ("ann@desk", "1.20")
    assert world.events(session_id)[-2:] == ["close_forced", "stopped"]
    reading = measure(world.services.database, ())
    assert (reading.unproven, reading.at_risk, reading.forced) == (0, {"USD": Decimal(0)}, 1)


def test_a_forced_close_frees_the_place_and_is_never_tried_again(make_world: MakeWorld) -> None:
    world = make_world(morpheus_keys=1)
    session_id = world.run_session("moral")
    world.server.fault("close_fails", operation="close", times=1000)
    world.done("session.close", session_id=session_id, **FORCE)
    world.pass_time(HOUR)
    assert world.calls("close", "morph") == 1, "only the one that went before its open"
    assert world.session(session_id).state is State.STOPPED
    world.server.clear_faults()
    world.run_session("moral")  # its open first closes what the key still has


def test_a_close_that_was_confirmed_is_proven_and_leaves_the_report(make_world: MakeWorld) -> None:
    world = make_world(leaked=1)
    session_id = world.run_session("moral")
    world.server.fault("close_fails", operation="close")
    world.done("session.close", session_id=session_id)
    world.pass_time(MINUTE)
    world.done("session.close", session_id=session_id, **CONFIRM)
    assert report(world) == []
    assert world.view(session_id)["forced_closes"] == []


def test_an_open_whose_outcome_is_unknown_can_be_forced_and_its_late_handle_is_an_orphan(
    make_world: MakeWorld,
) -> None:
    world = make_world(leaked=1)
    session_id = world.create_session("moral")
    slow = Hands(world.another_worker())
    answer, _ = slow.opened(slow.claim_one(Step.OPEN))
    result = world.done("session.close", session_id=session_id, **FORCE)
    assert result["state"] == "stopped"
    [placement] = world.placements(session_id)
    assert (placement.state, placement.forced_by) == (PlacementState.CLOSED, "ann@desk")
    slow.settle(answer)
    assert world.events("morph") == ["orphan_found"], "no handle is dropped"
    assert world.session(session_id).state is State.STOPPED


def test_an_unknown_outcome_can_be_forced_too(make_world: MakeWorld) -> None:
    world = make_world(leaked=1)
    world.server.fault("cut_after_effect", operation="open", times=1)
    session_id = world.create_session("moral")
    world.settle()
    world.done("session.close", session_id=session_id, **FORCE)
    [placement] = world.placements(session_id)
    assert (placement.state, step_of(placement)) == (PlacementState.CLOSED, None)


def test_nobody_forces_a_close_unnamed(make_world: MakeWorld) -> None:
    world = make_world(leaked=1)
    session_id = world.run_session("moral")
    assert world.refused("session.close", session_id=session_id, **{**FORCE, "by": None}) == "invalid_request"
    assert world.placements(session_id)[0].forced_at is None
    world.done("session.close", session_id=session_id, **FORCE)


def test_an_orphan_is_in_the_report_and_costs_money_there(world: World) -> None:
    orphan = an_orphan(world)
    world.pass_time(5 * MINUTE)
    [entry] = report(world)
    assert (entry["id"], entry["orphan"], entry["session_id"]) == (orphan, True, None)
    assert (entry["account_id"], entry["handle"], entry["money_at_risk"]) == ("acme", "0xelsewhere", "0.10")
    assert report(world, account_id="other") == []
    assert report(world, states=[State.STOPPING]) == [], "an orphan has no state of a session"
    reading = measure(world.services.database, ())
    assert (reading.unproven, str(reading.at_risk["USD"].normalize())) == (1, "0.1")


@pytest.mark.parametrize(("how", "kept"), [(FORCE, 1), (CONFIRM, 0)])
def test_an_orphan_can_be_force_closed(world: World, how: dict[str, Any], kept: int) -> None:
    orphan = an_orphan(world)
    ended = world.done("session.close", session_id=orphan, **how)
    assert (ended["placement_id"], ended["state"], ended["unproven_since"]) == (orphan, "closed", None)
    assert orphans(world) == []
    assert len(report(world)) == kept
    assert world.events("morph") == ["orphan_found", "orphan_closed"]
    again = world.done("session.close", session_id=orphan, **how)
    assert again["proof"] == ended["proof"], "what has ended stays as it ended"


def test_an_orphan_that_no_id_closes_waits_for_its_end_whatever_is_asked(world: World) -> None:
    orphan = an_orphan(world)
    before = orphans(world)
    result = world.done("session.close", session_id=orphan)
    assert result["state"] == "closing"
    assert orphans(world) == before


@pytest.mark.parametrize("end", [None, START + 100 * HOUR])
def test_an_orphan_is_not_proven_closed_before_its_own_end(world: World, end: datetime | None) -> None:
    """Its provider could once close by id; now nothing here can."""
    orphan = an_orphan(world)
    with world.services.database.engine.begin() as connection:
        changed = PLACEMENTS.update().where(PLACEMENTS.c.id == orphan)
        connection.execute(changed.values(declared_end_at=end, next_step_at=world.clock.now))
    world.settle()
    [left] = orphans(world)
    assert (left["state"], left["proof"]) == ("closing", None)
    assert "cannot close this orphan by its id" in left["last_answer"]


def test_an_open_that_may_have_left_more_is_reported_until_that_has_ended(world: World) -> None:
    world.server.fault("error_after_effect", operation="open", times=1)
    session_id = world.create_session("moral", stop={"max_duration_seconds": 600})
    world.settle()
    [possible] = orphans(world)
    assert (possible["orphan"], possible["possible_orphans"], possible["id"]) == (False, True, session_id)
    assert possible["orphans_at_most"] == 3
    database, known = world.services.database, ("morph", "alpha")
    assert measure(database, known).possible_orphans == {"morph": 3, "alpha": 0}
    world.pass_time(3 * HOUR)
    assert orphans(world) == []
    assert measure(database, known).possible_orphans == {"morph": 0, "alpha": 0}
