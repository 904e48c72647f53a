"""A key that is the address: only the very same secret may close what it opened."""

from orchestrator.flows.upkeep import sync_credentials
from orchestrator.rules.states import State
from tests.world import MINUTE, SECOND, World


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
