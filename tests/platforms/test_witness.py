"""A Morpheus node is asked for the chain's record of a gateway's session, where the gateway itself has no answer."""

from dataclasses import replace

import pytest

from orchestrator.providers.checks import witness_faults
from orchestrator.rules.states import PlacementState, State
from orchestrator.settings import Configuration, ProviderConfiguration
from tests.drivers import platform_of
from tests.platforms.conftest import MakeWorld
from tests.platforms.world import PlatformWorld
from tests.world import MINUTE, SECOND

RESOLVE_AFTER = 15 * MINUTE


@pytest.fixture
def world(make_platforms: MakeWorld) -> PlatformWorld:
    gateway = replace(platform_of("morpheus").with_options(node="morpheus-node"), keys=1)
    node = replace(platform_of("morpheus-node"), upstream={"chain_of": ["morpheus"]})
    return make_platforms(replace(gateway, upstream={"keeps_rows": True}), node)


def test_the_end_on_the_chain_proves_a_close_that_the_gateway_does_not(world: PlatformWorld) -> None:
    session_id = world.run_at("morpheus")
    world.end_there(session_id)
    world.fault_at("morpheus", "error_before", "chat")  # a ping shows nothing either
    world.done("session.close", session_id=session_id)
    world.pass_time(MINUTE)
    placement = world.placement(session_id)
    assert (world.session(session_id).state, placement.state) == (State.STOPPED, PlacementState.CLOSED)
    assert "morpheus-node says that it has ended by itself" in (placement.proof or "")


@pytest.mark.parametrize("fault", [None, "error_before", "invalid_json"])
def test_what_lives_on_the_chain_or_cannot_be_seen_there_is_not_closed(
    fault: str | None, world: PlatformWorld
) -> None:
    session_id = world.run_at("morpheus")
    world.fault_at("morpheus", "error_before", "close")
    if fault:
        world.end_there(session_id, "dead")
        world.fault_at("morpheus-node", fault, "status")
    world.done("session.close", session_id=session_id)
    world.pass_time(MINUTE)
    assert world.session(session_id).state is State.STOPPING


def lost_open(world: PlatformWorld) -> str:
    """Lose the answer of an open, and replace its session from another system that shares the key."""
    world.fault_at("morpheus", "cut_after_effect", "open", times=1)
    session_id = world.create_at("morpheus", stop={"max_duration_seconds": 3600})
    world.settle()
    assert world.placement(session_id).state is PlacementState.UNKNOWN
    return session_id


def test_a_session_that_ends_sooner_than_was_asked_for_is_not_adopted(world: PlatformWorld) -> None:
    session_id = lost_open(world)
    [ours] = world.server.open_sessions()
    world.pass_time(RESOLVE_AFTER - SECOND)
    sessions = world.server.simulator.sessions
    sessions.end(ours.id, "displaced")
    foreign = sessions.open(upstream="morpheus", key=ours.key, model=ours.model, seconds=600)
    world.pass_time(2 * MINUTE)
    first, second = world.placements(session_id)
    assert (first.state, first.handle) == (PlacementState.NEVER_OPENED, None)
    assert foreign.id in (first.proof or "")
    assert second.handle not in (foreign.id, None)
    assert world.session(session_id).state is State.RUNNING
    assert "ownership_lost" in world.events("morpheus")


def test_ours_is_adopted(world: PlatformWorld) -> None:
    session_id = lost_open(world)
    [ours] = world.server.open_sessions()
    world.pass_time(RESOLVE_AFTER)
    assert world.session(session_id).state is State.RUNNING
    assert world.placement(session_id).handle == ours.id


def faults(named: str, **others: str) -> list[str]:
    def one(name: str, driver: str, **options: str) -> ProviderConfiguration:
        wallet = {"user": "0x" + "ab" * 20} if driver == "morpheus-node" else {}
        return ProviderConfiguration(name=name, driver=driver, base_url="http://h", options=options | wallet)

    providers = {name: one(name, driver) for name, driver in others.items()}
    providers["gate"] = one("gate", "morpheus", node=named)
    return [str(fault) for fault in witness_faults.faults_of(Configuration(providers=providers))]


def test_the_node_must_be_there_and_be_one() -> None:
    assert faults("node", node="morpheus-node") == []
    assert faults("nod", node="morpheus-node") == [
        "providers.gate.node: nod is not a provider of this file: node"
    ]
    assert "must be a morpheus-node" in faults("plain", plain="openai")[0]
