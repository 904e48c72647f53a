"""A key that is the address: only the same secret may close what it opened."""

from dataclasses import replace

import pytest

from orchestrator.flows.upstream.credentials import sync_credentials
from orchestrator.providers.port.errors import NotClosed, NotSent
from orchestrator.rules.states import State, Step
from tests.flows.hands import Hands
from tests.world import HOUR, MINUTE, SECOND, World


def test_another_secret_under_the_same_reference_closes_nothing(world: World) -> None:
    session_id = world.run_session("moral", credential="env:MORPH_1")
    world.secrets["MORPH_1"] = world.keys[1]  # the operator puts another key behind the name
    sync_credentials(world.services)
    world.done("session.close", session_id=session_id)
    for _ in range(3):
        world.jump(2 * SECOND)
        world.settle()
    assert world.session(session_id).state is State.STOPPING
    assert [call.key for call in world.server.log(operation="close")].count(world.keys[1]) == 0
    world.secrets["MORPH_1"] = world.keys[0]
    world.pass_time(MINUTE)
    assert world.session(session_id).state is State.STOPPED
    assert not world.server.open_sessions()


def test_a_worker_that_lacks_a_secret_takes_it_from_nobody(world: World) -> None:
    session_id = world.run_session("moral", credential="env:MORPH_1")
    del world.secrets["MORPH_1"]
    sync_credentials(world.another_worker())
    world.jump(MINUTE)
    world.settle()
    with world.services.database.reading() as tx:
        keys = {credential.ref: credential for credential in tx.credentials.listed()}
    assert not keys["env:MORPH_1"].retired
    assert keys["env:MORPH_1"].fingerprint
    world.secrets["MORPH_1"] = world.keys[0]
    world.pass_time(MINUTE)
    assert world.session(session_id).state is State.RUNNING


@pytest.mark.parametrize("step", [Step.OPEN, Step.CLOSE])
def test_a_worker_whose_lease_is_over_sends_nothing_more_under_its_key(world: World, step: Step) -> None:
    session_id = world.create_session("moral") if step is Step.OPEN else world.run_session("moral")
    if step is Step.CLOSE:
        world.done("session.close", session_id=session_id)
        world.jump(2 * SECOND)
    hands = Hands(world.services)
    claimed = hands.claim_one(step)
    assert claimed.send_by is not None
    assert claimed.send_by > claimed.begin_by, "what begins at the last moment has its whole time"
    before = world.calls("open") + world.calls("close")
    answer = hands.act(replace(claimed, send_by=claimed.send_by - HOUR.total_seconds()))
    assert isinstance(answer.said, NotSent if step is Step.OPEN else NotClosed)
    assert world.calls("open") + world.calls("close") == before
    hands.settle(answer)
    world.pass_time(MINUTE)
    assert world.session(session_id).state is (State.RUNNING if step is Step.OPEN else State.STOPPED)
