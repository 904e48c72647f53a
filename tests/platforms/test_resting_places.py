"""A next provider that is only in cooldown is a candidate too: a session that starts or moves on waits for it."""

from orchestrator.rules.states import State, StopReason
from orchestrator.rules.values import Policy
from tests.drivers import MODEL, platform_of
from tests.platforms.conftest import MakeWorld
from tests.platforms.world import PlatformWorld
from tests.world import MINUTE, SECOND


def _beside_one_that_rests(
    make_platforms: MakeWorld, seconds: int, policy: Policy | None = None
) -> PlatformWorld:
    """Send `pair` to openai first; aimlapi has a Retry-After."""
    world = make_platforms(platform_of("openai"), platform_of("aimlapi"), policy=policy)
    world.put_model("pair", {"openai": MODEL, "aimlapi": MODEL})
    world.create_session("pair", provider="aimlapi")
    world.settle()
    world.fault_at("aimlapi", "throttled", times=1, retry_after=seconds)
    world.pass_time(31 * SECOND)
    return world


def test_a_next_provider_that_only_rests_is_waited_for(make_platforms: MakeWorld) -> None:
    world = _beside_one_that_rests(make_platforms, 20)
    world.fault_at("openai", "status", "models", status=422, body={"detail": "no"})
    session_id = world.create_session("pair")
    world.settle()
    assert (world.session(session_id).state, world.session(session_id).provider) == (
        State.STARTING,
        "aimlapi",
    )
    world.pass_time(MINUTE)
    assert world.session(session_id).state is State.RUNNING


def test_but_not_beyond_the_time_in_which_it_must_start(make_platforms: MakeWorld) -> None:
    world = _beside_one_that_rests(make_platforms, 290, Policy(start_timeout_seconds=60))
    world.fault_at("openai", "status", "models", status=422, body={"detail": "no"})
    session_id = world.create_session("pair")
    world.settle()
    assert world.session(session_id).stop_reason is StopReason.START_FAILED


def test_a_failover_waits_for_it_too(make_platforms: MakeWorld) -> None:
    world = _beside_one_that_rests(make_platforms, 200)
    session_id = world.create_session("pair", failover=True)
    world.settle()
    assert world.session(session_id).provider == "openai"
    world.fault_at("openai", "gone")
    world.pass_time(5 * MINUTE)
    session = world.session(session_id)
    assert (session.state, session.provider, session.placements) == (State.RUNNING, "aimlapi", 2)
