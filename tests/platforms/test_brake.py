"""When most of a provider's sessions fail at once, the provider is at fault, and no session is closed for it."""

from dataclasses import replace
from datetime import timedelta

import pytest

from orchestrator.flows.upstream import brake
from orchestrator.rules.states import State, StopReason
from orchestrator.rules.upstream.brake import FIRST_MOVES
from orchestrator.rules.values import Brake, Policy
from orchestrator.store.queries.brakes import scope_of
from tests.drivers import platform_of
from tests.platforms.conftest import MakeWorld
from tests.platforms.world import PlatformWorld
from tests.world import HOUR, MINUTE, SECOND

TEN = 10


def _brakes(world: PlatformWorld) -> list[Brake]:
    with world.services.database.reading() as tx:
        return list(tx.brakes.holding(tx.now()))


def _kill(world: PlatformWorld, sessions: list[str], fault: str = "dead") -> None:
    for session_id in sessions:
        placement = world.placement(session_id)
        world.fault_at(placement.provider, fault, session=placement.handle)


def _pass(world: PlatformWorld, span: timedelta) -> None:
    """Let time pass; the slow tick checks the brakes."""
    for _ in range(int(span / (30 * SECOND))):
        world.pass_time(30 * SECOND)
        brake.review(world.services)


def _states(world: PlatformWorld, sessions: list[str]) -> set[State]:
    return {world.session(session_id).state for session_id in sessions}


@pytest.fixture
def studio(make_platforms: MakeWorld) -> PlatformWorld:
    """Return a world with a separate endpoint for each session, and an always-on server beside them."""
    return make_platforms(platform_of("fpt-template"), platform_of("openai"))


def test_sixty_of_a_hundred_percent_die_and_nobody_is_closed(studio: PlatformWorld) -> None:
    doomed = studio.run_many_at("fpt-template", TEN - 2)
    short = studio.run_many_at("fpt-template", 2, stop={"max_duration_seconds": 600})
    beside = studio.run_at("openai")
    _kill(studio, [*doomed[:4], *short])
    studio.pass_time(20 * MINUTE)
    assert _states(studio, doomed) == {State.RUNNING}
    assert {studio.session(one).stop_reason for one in short} == {StopReason.MAX_DURATION}
    assert _states(studio, [*short]) == {State.STOPPED}, "stops by duration go on, with proof"
    assert studio.events("fpt-template") == ["braked"]
    assert studio.session(beside).state is State.RUNNING
    assert studio.events("openai") == []


def test_pings_of_the_doubtful_slow_down_and_the_others_go_on(studio: PlatformWorld) -> None:
    sessions = studio.run_many_at("fpt-template", TEN)
    _kill(studio, sessions[:6])
    studio.pass_time(5 * MINUTE)
    ill, well = (studio.placement(one).handle for one in (sessions[0], sessions[-1]))
    before = [len(studio.chats("fpt-template", one)) for one in (ill, well)]
    studio.pass_time(10 * MINUTE)
    after = [len(studio.chats("fpt-template", one)) for one in (ill, well)]
    assert [now - then for then, now in zip(before, after, strict=True)] == [10, 20]


def test_another_provider_still_loses_its_dead(studio: PlatformWorld) -> None:
    sessions = studio.run_many_at("fpt-template", TEN)
    lonely = studio.run_at("openai")
    _kill(studio, sessions[:6])
    studio.fault_at("openai", "dead")
    studio.pass_time(5 * MINUTE)
    assert studio.session(lonely).stop_reason is StopReason.DEAD
    assert _states(studio, sessions) == {State.RUNNING}


def test_half_of_them_are_no_majority(studio: PlatformWorld) -> None:
    sessions = studio.run_many_at("fpt-template", TEN)
    _kill(studio, sessions[:5])
    studio.pass_time(5 * MINUTE)
    assert {studio.session(one).stop_reason for one in sessions[:5]} == {StopReason.DEAD}
    assert _states(studio, sessions[5:]) == {State.RUNNING}
    assert studio.events("fpt-template") == []


@pytest.mark.parametrize(
    ("running", "ill", "held"),
    [
        pytest.param(1, 1, False, id="one alone is just dead"),
        pytest.param(2, 1, False, id="one of two"),
        pytest.param(2, 2, True, id="all of two"),
        pytest.param(4, 3, False, id="three of four"),
        pytest.param(5, 3, True, id="three of five"),
    ],
)
def test_of_a_few_all_must_be_ill(studio: PlatformWorld, running: int, ill: int, held: bool) -> None:
    sessions = studio.run_many_at("fpt-template", running)
    _kill(studio, sessions[:ill])
    studio.pass_time(5 * MINUTE)
    assert bool(_brakes(studio)) is held
    assert {studio.session(one).state is State.RUNNING for one in sessions[:ill]} == {held}


@pytest.mark.parametrize("fault", ["gone", "error_before"])
def test_doubts_of_every_kind_count(studio: PlatformWorld, fault: str) -> None:
    sessions = studio.run_many_at("fpt-template", TEN)
    _kill(studio, sessions[:6], fault)
    studio.pass_time(5 * MINUTE)
    assert _states(studio, sessions) == {State.RUNNING}
    assert studio.events("fpt-template") == ["braked"]


def test_recoveries_lift_it_and_streaks_start_anew(studio: PlatformWorld) -> None:
    sessions = studio.run_many_at("fpt-template", TEN)
    _kill(studio, sessions[:6])
    studio.pass_time(5 * MINUTE)
    studio.server.clear_faults()
    studio.fault_at("fpt-template", "dead", session=studio.placement(sessions[0]).handle)
    before = studio.clock.now
    studio.pass_time(MINUTE)
    assert studio.events("fpt-template") == ["braked", "released"]
    began = studio.session(sessions[0]).failing_since
    assert began is None or began > before, "its streak begins again"
    assert studio.session(sessions[0]).state is State.RUNNING
    studio.pass_time(3 * MINUTE)
    assert studio.session(sessions[0]).stop_reason is StopReason.DEAD, "it alone was ill"
    assert _states(studio, sessions[1:]) == {State.RUNNING}


def test_too_few_recoveries_do_not_lift_it(studio: PlatformWorld) -> None:
    sessions = studio.run_many_at("fpt-template", TEN)
    _kill(studio, sessions[:8])
    studio.pass_time(5 * MINUTE)
    studio.server.clear_faults()
    _kill(studio, sessions[:6])
    studio.pass_time(5 * MINUTE)
    assert studio.events("fpt-template") == ["braked"]
    assert [one.successes for one in _brakes(studio) if one.credential is None] == [2]


def test_after_its_time_those_in_doubt_are_judged_and_the_others_live_on(make_platforms: MakeWorld) -> None:
    studio = make_platforms(platform_of("fpt-template"), policy=Policy(brake_max_seconds=300))
    sessions = studio.run_many_at("fpt-template", TEN)
    _kill(studio, sessions[:6])
    studio.pass_time(5 * MINUTE)
    assert brake.review(studio.services) == 0
    assert _states(studio, sessions) == {State.RUNNING}
    _pass(studio, 3 * MINUTE)
    assert {studio.session(one).stop_reason for one in sessions[:6]} == {StopReason.DEAD}
    _pass(studio, 6 * MINUTE)
    assert _states(studio, sessions[6:]) == {State.RUNNING}
    assert studio.events("fpt-template") == ["braked", "released"]
    assert brake.review(studio.services) == 0, "what expired was forgotten"


def test_no_hold_follows_one_that_expired_before_somebody_there_answered(make_platforms: MakeWorld) -> None:
    studio = make_platforms(platform_of("fpt-template"), policy=Policy(brake_max_seconds=300))
    first = studio.run_many_at("fpt-template", 2)
    _kill(studio, first)
    _pass(studio, 8 * MINUTE)
    assert {studio.session(one).stop_reason for one in first} == {StopReason.DEAD}
    studio.server.clear_faults()
    second = studio.run_many_at("fpt-template", 2)
    _pass(studio, MINUTE)
    _kill(studio, second)
    _pass(studio, 5 * MINUTE)
    assert _states(studio, second) == {State.RUNNING}, "they answered: what they met is new"
    assert studio.events("fpt-template") == ["braked", "released", "braked"]


def test_an_operator_lifts_it(studio: PlatformWorld) -> None:
    sessions = studio.run_many_at("fpt-template", TEN)
    _kill(studio, sessions[:6])
    studio.pass_time(5 * MINUTE)
    assert brake.release_brakes(studio.services, "openai") == 0
    assert brake.release_brakes(studio.services, "fpt-template") > 0
    assert studio.events("fpt-template") == ["braked", "released"]
    studio.server.clear_faults()
    studio.pass_time(5 * MINUTE)
    assert {studio.session(one).failures for one in sessions} == {0}
    assert studio.events("fpt-template") == ["braked", "released"]


@pytest.fixture
def pair(make_platforms: MakeWorld) -> PlatformWorld:
    """Return a world with a model that two providers serve, the first preferred."""
    world = make_platforms(platform_of("fpt-template"), platform_of("openai"))
    world.put_model("pair", {"fpt-template": "llama-3", "openai": "llama-3"})
    return world


def test_failover_to_where_no_brake_holds_goes_on_a_few_at_a_time(pair: PlatformWorld) -> None:
    sessions = [pair.create_session("pair", failover=True) for _ in range(TEN)]
    pair.settle()
    _kill(pair, sessions)
    pair.fault_at("openai", "dead")
    _pass(pair, 4 * MINUTE)
    assert pair.events("fpt-template") == ["braked"]
    starting = [one for one in sessions if pair.session(one).state is State.STARTING]
    assert len(starting) == FIRST_MOVES, "the others wait until these run"
    pair.server.clear_faults()
    _kill(pair, [one for one in sessions if one not in starting])
    _pass(pair, 6 * MINUTE)
    assert {pair.session(one).provider for one in sessions} == {"openai"}
    assert _states(pair, sessions) == {State.RUNNING}


def test_failover_never_goes_from_one_brake_to_another(pair: PlatformWorld) -> None:
    sessions = [pair.create_session("pair", failover=True) for _ in range(TEN)]
    pair.settle()
    _held(pair, "openai")
    _kill(pair, sessions)
    pair.pass_time(5 * MINUTE)
    assert {pair.session(one).placements for one in sessions} == {1}
    pair.done("session.close", session_id=sessions[0])
    pair.settle()
    assert pair.session(sessions[0]).stop_reason is StopReason.USER


def test_who_has_moved_on_still_counts_against_the_provider_that_lost_it(make_platforms: MakeWorld) -> None:
    world = make_platforms(platform_of("fpt-template"), platform_of("openai"))
    world.put_model("pair", {"fpt-template": "llama-3", "openai": "llama-3"})
    sessions: list[str] = []
    for _ in range(TEN):
        sessions.append(world.create_session("pair", failover=True))
        world.settle()
        world.pass_time(2 * SECOND)
    _kill(world, sessions, "gone")
    world.fault_at("fpt-template", "error_before", "status")  # else it would say that they live
    world.pass_time(2 * MINUTE)
    assert {world.session(one).placements for one in sessions} == {2}
    assert world.events("fpt-template") == ["braked"]


@pytest.mark.parametrize("name", ["sesterce", "morpheus-node", "fpt-template"])
def test_a_death_that_the_platform_confirms_is_not_frozen(name: str, make_platforms: MakeWorld) -> None:
    world = make_platforms(platform_of(name))
    sessions = world.run_many_at(name, TEN)
    for session_id in sessions[:6]:
        world.end_there(session_id, "dead")
    world.pass_time(3 * MINUTE)
    assert {world.session(one).stop_reason for one in sessions[:6]} == {StopReason.DEAD}
    assert "the platform says so itself" in (world.session(sessions[0]).stop_detail or "")
    assert _states(world, sessions[6:]) == {State.RUNNING}


def test_one_key_may_be_at_fault_alone(make_platforms: MakeWorld) -> None:
    world = make_platforms(replace(platform_of("openai"), keys=2))
    sessions = [one for ref in _refs(world) for one in world.run_many_at("openai", 6, credential=ref)]
    world.fault_at("openai", "dead", key="sk-openai-1")
    world.pass_time(5 * MINUTE)
    assert [one.credential for one in _brakes(world)] == ["env:OPENAI_1"]
    assert _states(world, sessions) == {State.RUNNING}


def test_the_thresholds_of_a_provider_reach_down_to_one_failure(make_platforms: MakeWorld) -> None:
    world = make_platforms(
        platform_of("fpt-template"), policy=Policy(dead_after_failures=1, dead_after_seconds=0)
    )
    sessions = world.run_many_at("fpt-template", TEN)
    _kill(world, sessions[:6])
    world.pass_time(5 * MINUTE)
    lost = [one for one in sessions if world.session(one).stop_reason is StopReason.DEAD]
    assert len(lost) == 5, "who fell ill before the majority looked like the truly dead"
    assert world.events("fpt-template") == ["braked"]


def test_while_it_holds_a_session_still_ends_with_its_time(studio: PlatformWorld) -> None:
    sessions = studio.run_many_at("fpt-template", TEN, stop={"max_duration_seconds": 1200})
    _kill(studio, sessions[:6])
    studio.pass_time(HOUR)
    stopped = [studio.session(one) for one in sessions]
    assert {one.stop_reason for one in stopped} == {StopReason.MAX_DURATION}
    assert {one.stopped_at - one.running_at for one in stopped if one.stopped_at and one.running_at} == {
        timedelta(seconds=1200)
    }
    assert studio.server.open_sessions() == []


def _refs(world: PlatformWorld) -> tuple[str, ...]:
    return world.providers["openai"].credentials


# new placements


def _held(world: PlatformWorld, provider: str, credential: str | None = None) -> None:
    """Hold a brake there."""
    held = Brake(
        scope=scope_of(provider, credential),
        provider=provider,
        credential=credential,
        since=world.clock.now,
        until=world.clock.now + 30 * MINUTE,
        reason="6 of 10 sessions fell ill within 2 minutes",
    )
    world.with_database(lambda tx: tx.brakes.engage(held))


def test_a_new_session_goes_where_no_brake_holds(studio: PlatformWorld) -> None:
    studio.put_model("pair", {"fpt-template": "llama-3", "openai": "llama-3"})
    _kill(studio, studio.run_many_at("fpt-template", TEN)[:6])
    studio.pass_time(2 * MINUTE)
    assert [one.provider for one in _brakes(studio)][:1] == ["fpt-template"]
    first = studio.create_session("pair")
    studio.settle()
    assert studio.session(first).provider == "openai"
    brake.release_brakes(studio.services, "fpt-template")
    second = studio.create_session("pair")
    assert studio.session(second).provider == "fpt-template", "the preferred one again"


def test_who_has_no_other_provider_is_served_there_all_the_same(studio: PlatformWorld) -> None:
    _held(studio, "fpt-template")
    session_id = studio.run_at("fpt-template")
    assert studio.session(session_id).provider == "fpt-template"


def test_a_key_that_is_held_comes_after_every_other(make_platforms: MakeWorld) -> None:
    world = make_platforms(replace(platform_of("openai"), keys=2))
    _held(world, "openai", "env:OPENAI_1")
    taken = {world.session(one).credential for one in world.run_many_at("openai", 3)}
    assert taken == {"env:OPENAI_2"}
    world.pause("openai", "env:OPENAI_2")
    assert world.session(world.run_at("openai")).credential == "env:OPENAI_1"


def test_of_two_that_recover_nobody_is_held_for_half_an_hour(make_platforms: MakeWorld) -> None:
    world = make_platforms(platform_of("morpheus"))
    one, other = world.run_many_at("morpheus", 2)
    fault = world.fault_at("morpheus", "error_before")
    world.pass_time(40 * SECOND)
    assert world.events("morpheus") == ["braked"]
    world.server.remove_fault(fault)
    world.pass_time(3 * MINUTE)
    assert world.events("morpheus") == ["braked", "released"]
    world.fault_at("morpheus", "error_before", session=world.placement(one).handle)
    world.pass_time(3 * MINUTE)
    assert world.session(one).stop_reason is StopReason.DEAD
    assert world.session(other).state is State.RUNNING


def test_who_is_dead_among_a_few_does_not_live_on_the_brake(studio: PlatformWorld) -> None:
    sessions = studio.run_many_at("fpt-template", 5)
    _kill(studio, sessions[:3])
    studio.pass_time(2 * MINUTE)
    studio.server.clear_faults()
    _kill(studio, sessions[:1])
    studio.pass_time(6 * MINUTE)
    assert studio.events("fpt-template")[:2] == ["braked", "released"]
    assert studio.session(sessions[0]).stop_reason is StopReason.DEAD
    assert _states(studio, sessions[1:]) == {State.RUNNING}


# with a few


def test_it_ends_with_the_last_one_in_doubt(studio: PlatformWorld) -> None:
    one, other = studio.run_many_at("fpt-template", 2)
    _kill(studio, [one, other])
    _pass(studio, 2 * MINUTE)
    assert studio.events("fpt-template") == ["braked"]
    for session_id in (one, other):
        studio.done("session.close", session_id=session_id)
    _pass(studio, MINUTE)
    assert studio.events("fpt-template") == ["braked", "released"]


def test_a_healthy_session_beside_a_few_ends_it(studio: PlatformWorld) -> None:
    sick = studio.run_many_at("fpt-template", 2)
    _kill(studio, sick)
    _pass(studio, 2 * MINUTE)
    assert studio.events("fpt-template") == ["braked"]
    healthy = studio.run_at("fpt-template")
    _pass(studio, 3 * MINUTE)
    assert studio.events("fpt-template") == ["braked", "released"]
    assert {studio.session(one).stop_reason for one in sick} == {StopReason.DEAD}
    assert studio.session(healthy).state is State.RUNNING


@pytest.mark.parametrize("name", ["morpheus", "sesterce"])
def test_deaths_that_the_platform_confirms_are_no_evidence_against_it(
    name: str, make_platforms: MakeWorld
) -> None:
    world = make_platforms(replace(platform_of(name), keys=6))
    sessions = world.run_many_at(name, 6)
    for session_id in sessions[:5]:
        if name == "sesterce":
            world.end_there(session_id, "dead")  # its status says so
        else:
            world.fault_at(
                name, "gone", session=world.placement(session_id).handle
            )  # each has a key of its own
    _pass(world, 3 * MINUTE)
    assert {world.session(one).stop_reason for one in sessions[:5]} == {StopReason.DEAD}
    assert world.session(sessions[5]).state is State.RUNNING
    assert world.events(name) == []


def test_fewer_than_the_smallest_number_say_nothing_of_their_provider(make_platforms: MakeWorld) -> None:
    policy = Policy(brake_min_sessions=3)
    world = make_platforms(platform_of("fpt-template"), policy=policy)
    sessions = world.run_many_at("fpt-template", 2)
    _kill(world, sessions)
    _pass(world, 3 * MINUTE)
    assert {world.session(one).stop_reason for one in sessions} == {StopReason.DEAD}
