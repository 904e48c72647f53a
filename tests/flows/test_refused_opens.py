"""Opens that are refused for good or for now: try the next credential, the next provider, or later again."""

from typing import Any

import pytest

from orchestrator.rules.states import PlacementState, State, StopReason
from orchestrator.rules.values import Policy
from tests.flows.conftest import MakeWorld
from tests.world import MINUTE, SECOND, World


def _places(world: World, session_id: str) -> list[tuple[str, str | None]]:
    return [(p.provider, p.credential) for p in world.placements(session_id)]


EVERYWHERE = [("morph", "env:MORPH_1"), ("morph", "env:MORPH_2"), ("alpha", "env:ALPHA")]


@pytest.mark.parametrize("refusal", ["unauthorized", "forbidden", "no_bids", "out_of_balance"])
def test_a_refusal_tries_the_next_credential_and_then_the_next_provider(world: World, refusal: str) -> None:
    world.server.fault(refusal, operation="open")
    session_id = world.run_session("roam")
    assert _places(world, session_id) == EVERYWHERE
    states = [p.state for p in world.placements(session_id)]
    assert states == [PlacementState.NEVER_OPENED, PlacementState.NEVER_OPENED, PlacementState.OPEN]
    assert world.events(session_id) == ["created", "starting", "running"]


def test_a_wrong_key_does_not_keep_a_session_from_running(make_world: MakeWorld) -> None:
    world = make_world()
    world.server.add_upstream("morph", "morpheus", world.keys[1:], ["moral-1"])
    session_id = world.run_session("moral")
    assert _places(world, session_id) == EVERYWHERE[:2]


def test_there_are_no_more_placements_than_the_policy_allows(make_world: MakeWorld) -> None:
    world = make_world(policy=Policy(max_placements=2))
    world.server.fault("no_bids", operation="open")
    session_id = world.create_session("roam")
    world.settle()
    session = world.session(session_id)
    assert (session.state, session.stop_reason) == (State.FAILED, StopReason.START_FAILED)
    assert _places(world, session_id) == EVERYWHERE[:2]
    assert "no bids available" in (session.stop_detail or "")
    assert session.charged == 0


def test_a_pinned_session_goes_nowhere_else(world: World) -> None:
    world.server.fault("no_bids", operation="open")
    session_id = world.create_session("roam", provider="morph", credential="env:MORPH_2")
    world.settle()
    assert _places(world, session_id) == EVERYWHERE[1:2]
    assert world.session(session_id).stop_reason is StopReason.START_FAILED


def test_an_unknown_model_is_never_opened(world: World) -> None:
    world.put_model("strange", {"morph": "0xunheard"})
    session_id = world.create_session("strange")
    world.settle()
    assert world.session(session_id).state is State.FAILED
    assert world.calls("open") == 0, "the gateway would have opened its default model"


def test_a_retired_gateway_starts_nothing(make_world: MakeWorld) -> None:
    world = make_world(gateway={"retired": True})
    session_id = world.create_session("moral")
    world.settle()
    session = world.session(session_id)
    assert (session.state, session.stop_reason) == (State.FAILED, StopReason.START_FAILED)
    assert "retired" in (session.stop_detail or "")


@pytest.mark.parametrize(
    ("fault", "seconds", "spread"),
    [
        pytest.param({"name": "dead", "operation": "models"}, 2, 0, id="nothing was sent"),
        pytest.param({"name": "throttled", "operation": "open", "retry_after": 30}, 30, 3, id="throttled"),
        pytest.param(
            {"name": "close_fails", "operation": "close", "times": 3}, 2, 0, id="the key is not free"
        ),
    ],
)
def test_what_was_not_done_is_sent_again(
    world: World, fault: dict[str, Any], seconds: int, spread: int
) -> None:
    world.server.fault(upstream="morph", **({"times": 1} | fault))
    if fault["name"] == "dead":  # a GET is repeated once below
        world.server.fault("dead", upstream="morph", operation="models", times=1)
    session_id = world.create_session("moral")
    world.settle()
    [placement] = world.placements(session_id)
    assert (placement.state, placement.sent_at) == (PlacementState.OPENING, None)
    world.pass_time((seconds - 1) * SECOND)
    assert world.session(session_id).state is State.STARTING
    world.pass_time((1 + spread) * SECOND)
    assert world.session(session_id).state is State.RUNNING
    assert len(world.placements(session_id)) == 1


def test_what_cannot_be_sent_at_all_fails_in_time(world: World) -> None:
    world.server.fault("dead", upstream="morph", operation="models")
    session_id = world.create_session("moral")
    world.pass_time(20 * MINUTE)
    session = world.session(session_id)
    assert (session.state, session.stop_reason) == (State.FAILED, StopReason.START_TIMEOUT)
    assert world.calls("open") == 0


def test_a_session_under_a_bid(world: World) -> None:
    options = {"bid_id": "0xbid", "direct_payment": True}
    session_id = world.run_session("moral", provider_options=options)
    assert world.server.log(operation="open")[0].path.endswith("/bidsession")
    world.pass_time(5 * MINUTE)
    world.done("session.close", session_id=session_id)
    world.pass_time(2 * SECOND)
    assert world.session(session_id).state is State.STOPPED


def test_a_bid_whose_answer_was_lost_is_closed_and_opened_anew(world: World) -> None:
    world.server.fault("cut_after_effect", operation="open", times=1)
    session_id = world.create_session("moral", provider_options={"bid_id": "0xbid"})
    world.pass_time(15 * MINUTE)
    assert world.session(session_id).state is State.RUNNING
    assert _places(world, session_id) == EVERYWHERE[:2]
    assert world.server.report().leaked == 0
    assert len(world.server.open_sessions()) == 1


def test_a_gateway_that_names_somebody_elses_session_is_left_again(world: World) -> None:
    world.server.fault("wrong_id", operation="open", times=1)
    session_id = world.create_session("moral")
    world.pass_time(MINUTE)
    session = world.session(session_id)
    assert session.state is State.RUNNING
    assert [p.state for p in world.placements(session_id)] == [PlacementState.CLOSED, PlacementState.OPEN]
    assert world.events(session_id) == ["created", "starting", "running"]
