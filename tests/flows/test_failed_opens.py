"""An open that a gateway answers with 500 may have left paid sessions on the chain: it is not repeated as a test."""

from decimal import Decimal

import pytest

from orchestrator.flows.reports.leftovers import possible
from orchestrator.flows.reports.measure import measure
from orchestrator.rules.admission.places import REPEATS
from orchestrator.rules.states import PlacementState, State, StopReason
from tests.flows.conftest import MakeWorld
from tests.world import HOUR, MINUTE, SECOND, World

pytestmark = pytest.mark.slow

#: Sessions that the gateway leaves each time.
EACH = 3


def left_there(world: World) -> int:
    return len(world.server.open_sessions())


def reported(world: World) -> list[dict[str, object]]:
    with world.services.database.reading() as tx:
        return possible(tx, world.clock.now)


def test_after_a_failure_the_key_is_closed_and_looked_at_and_only_then_used_again(
    any_world: MakeWorld,
) -> None:
    world = any_world(morpheus_keys=1)
    world.server.fault("error_after_effect", operation="open", times=1)
    session_id = world.create_session("moral")
    world.settle()
    [there] = world.server.open_sessions()
    assert world.placements(session_id)[0].state is PlacementState.UNKNOWN
    world.pass_time(MINUTE)
    first, second = world.placements(session_id)
    assert (first.state, first.handle) == (PlacementState.CLOSED, there.id), "it lived, and was closed"
    assert there.id in (first.proof or "")
    assert (second.state, second.credential) == (PlacementState.OPEN, first.credential)
    assert world.session(session_id).state is State.RUNNING
    assert first.orphans_at_most == EACH - 1, "one of them is known"


def test_it_is_repeated_once_at_most_and_then_it_ends(any_world: MakeWorld) -> None:
    world = any_world(morpheus_keys=1, leaked=EACH * (1 + REPEATS))
    world.server.fault("fails_below", operation="open")
    session_id = world.create_session("moral")
    world.pass_time(10 * MINUTE)
    assert (world.calls("open"), left_there(world)) == (1 + REPEATS, EACH * (1 + REPEATS))
    session = world.session(session_id)
    assert (session.state, session.stop_reason) == (State.FAILED, StopReason.START_FAILED)
    assert [one.orphans_at_most for one in world.placements(session_id)] == [EACH, EACH]


def test_the_next_key_comes_before_the_same_one_again(any_world: MakeWorld) -> None:
    world = any_world(morpheus_keys=2, leaked=EACH)
    world.server.fault("fails_below", operation="open", times=1)
    session_id = world.create_session("moral")
    world.pass_time(5 * MINUTE)
    assert [one.credential for one in world.placements(session_id)] == ["env:MORPH_1", "env:MORPH_2"]
    assert (world.session(session_id).state, world.calls("open")) == (State.RUNNING, 2)


def test_a_lost_answer_is_repeated_once_and_closed_once_that_fails(any_world: MakeWorld) -> None:
    world = any_world(morpheus_keys=1, leaked=EACH)
    world.server.fault("cut_before_effect", operation="open", times=1)
    session_id = world.create_session("moral")
    world.settle()
    world.server.fault("fails_below", operation="open", times=1)
    world.pass_time(15 * MINUTE)
    assert world.calls("open") == 2
    world.pass_time(MINUTE)
    first, second = world.placements(session_id)
    assert (first.state, first.orphans_at_most) == (PlacementState.NEVER_OPENED, EACH)
    assert (second.state, world.session(session_id).state) == (PlacementState.OPEN, State.RUNNING)


def test_while_what_stands_before_the_gateway_fails_it_may_go_on_and_is_waited_for(
    any_world: MakeWorld,
) -> None:
    world = any_world(morpheus_keys=1)
    world.server.fault("html", operation="open", times=1, status=504)
    session_id = world.create_session("moral")
    world.pass_time(15 * MINUTE - SECOND)
    assert world.placements(session_id)[0].state is PlacementState.UNKNOWN
    world.pass_time(MINUTE)
    assert world.session(session_id).state is State.RUNNING


def test_each_is_counted_with_the_money_that_it_may_cost(any_world: MakeWorld) -> None:
    world = any_world(morpheus_keys=1, leaked=EACH * (1 + REPEATS))
    world.server.fault("fails_below", operation="open")
    world.create_session("moral", stop={"max_duration_seconds": 3600})
    world.pass_time(HOUR)
    entries = reported(world)
    assert [one["orphans_at_most"] for one in entries] == [EACH, EACH]
    risks = sorted(Decimal(str(one["money_at_risk"])) for one in entries)
    assert Decimal("3.50") < risks[0] < risks[1] == EACH * Decimal("1.20")
    reading = measure(world.services.database, ("morph",))
    assert reading.possible_orphans == {"morph": 2 * EACH}
    assert reading.at_risk["USD"] == sum(risks)


@pytest.mark.parametrize("fault", ["fails_below", "error_after_effect"])
def test_a_stop_meanwhile_closes_what_is_there(fault: str, any_world: MakeWorld) -> None:
    world = any_world(morpheus_keys=1, leaked=EACH if fault == "fails_below" else 0)
    world.server.fault(fault, operation="open", times=1)
    session_id = world.create_session("moral")
    world.settle()
    world.done("session.close", session_id=session_id)
    world.pass_time(MINUTE)
    assert world.session(session_id).state is State.STOPPED
    assert world.calls("open") == 1
