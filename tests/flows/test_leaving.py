"""A worker that drains claims nothing more; its claims that have not begun are free for other workers at once."""

import threading

import pytest

from orchestrator.flows.engine.batch import Tally
from orchestrator.flows.engine.provider_steps import ask, settle
from orchestrator.flows.steps.open_due import open_due
from orchestrator.flows.steps.ping.ping_due import PING, ping_due
from orchestrator.rules.states import TERMINAL, PlacementState, State, Step
from orchestrator.rules.values import Due, Policy
from tests.due import step_of, token_of
from tests.flows.claiming import claim_pings
from tests.flows.conftest import MakeWorld
from tests.flows.hands import Hands
from tests.waiting import eventually
from tests.world import MINUTE, World

pytestmark = pytest.mark.slow


def test_who_leaves_claims_nothing(world: World) -> None:
    session_id = world.create_session()
    worker = world.another_worker()
    worker.slots.close()
    opened, pinged = open_due(worker), ping_due(worker)
    assert (opened.claimed, pinged.claimed) == (0, 0)
    world.settle()
    assert world.session(session_id).state is State.RUNNING


def test_an_open_that_has_not_begun_is_opened_by_another_at_once(world: World) -> None:
    session_id = world.create_session("moral")
    give_back(world, Step.OPEN)

    [placement] = world.placements(session_id)
    assert (placement.state, step_of(placement)) == (PlacementState.OPENING, Step.OPEN)
    assert (placement.attempts, placement.sent_at, token_of(placement)) == (0, None, None)
    world.settle()
    assert world.session(session_id).state is State.RUNNING
    assert world.server.report().opens == 1


def test_an_open_given_back_that_nobody_wants_any_more_is_never_sent(world: World) -> None:
    session_id = world.create_session("moral")
    worker = world.another_worker()
    hands = Hands(worker)
    claimed = hands.claim_one(Step.OPEN)
    world.done("session.close", session_id=session_id)
    worker.slots.close()
    hands.settle(hands.act(claimed))

    [placement] = world.placements(session_id)
    assert placement.state is PlacementState.NEVER_OPENED
    assert world.session(session_id).state in TERMINAL
    assert world.server.report().opens == 0


@pytest.mark.parametrize("step", [Step.CLOSE, Step.RESOLVE])
def test_a_close_that_has_not_begun_is_no_debt_and_another_does_it_at_once(world: World, step: Step) -> None:
    session_id = world.create_session("moral")
    if step is Step.RESOLVE:  # a worker dies during its open, and the session is closed
        Hands(world.another_worker()).claim_one(Step.OPEN)
        world.jump(20 * MINUTE)
    else:
        world.settle()
    world.done("session.close", session_id=session_id)
    give_back(world, step)

    [placement] = world.placements(session_id)
    assert (placement.unproven_since, token_of(placement)) == (None, None)
    assert placement.attempts == (1 if step is Step.RESOLVE else 0), "as before the claim"
    assert placement.due == Due(step, world.clock.now)
    world.settle()
    assert world.session(session_id).state in TERMINAL


def test_a_ping_that_has_not_begun_is_sent_by_another_at_once(world: World) -> None:
    world.run_session()
    world.jump(MINUTE)
    before = world.calls("chat", "alpha")
    worker = world.another_worker()
    [claimed] = claim_pings(worker, "alpha")
    worker.slots.close()
    settle(worker, PING, [worker.loop.run(ask(worker, PING, claimed))])
    assert (world.calls("chat", "alpha"), worker.slots.held()) == (before, 0)
    ping_due(world.services)
    assert world.calls("chat", "alpha") == before + 1


def test_a_ping_that_takes_longer_than_one_may_wait_is_given_back(make_world: MakeWorld) -> None:
    world = make_world(policy=Policy(ping_timeout_seconds=100))
    session_id = world.run_session()
    world.jump(MINUTE)
    world.server.fault("slow", operation="chat", times=1, seconds=90)
    before = world.calls("chat", "alpha")
    worker = world.another_worker()
    tallies: list[Tally] = []
    pinging = threading.Thread(target=lambda: tallies.append(ping_due(worker)))
    pinging.start()
    eventually(lambda: world.calls("chat", "alpha") > before, "the ping is on the wire")
    worker.loop.drop()
    pinging.join(60)

    assert tallies == [Tally(claimed=1, settled=1)]
    session = world.session(session_id)
    assert (token_of(session), session.failures) == (None, 0)
    assert session.due == Due(Step.PING, world.clock.now)


def give_back(world: World, step: Step) -> None:
    """Claim the one due row, and stop the worker before it has begun."""
    worker = world.another_worker()
    hands = Hands(worker)
    claimed = hands.claim_one(step)
    worker.slots.close()
    hands.settle(hands.act(claimed))
    assert worker.slots.held() == 0
