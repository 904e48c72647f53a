"""Failover, native pings, sleeping instances, the cost of pings, and sessions that may have been left behind."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from decimal import Decimal

import pytest

from orchestrator.flows.steps.ping.ping_due import ping_due
from orchestrator.flows.upstream.read_balances import read_balances
from orchestrator.rules.states import PlacementState, State, Step, StopReason
from orchestrator.rules.values import Policy
from tests.drivers import MODEL, platform_of
from tests.due import token_of
from tests.flows.hands import Hands
from tests.platforms.broken_driver import broken_driver
from tests.platforms.conftest import MakeWorld
from tests.platforms.world import PlatformWorld
from tests.world import HOUR, MINUTE, SECOND

NATIVE = platform_of("morpheus").with_options(ping="native")


# failover


def test_a_session_moves_across_platforms_and_keeps_its_id(make_platforms: MakeWorld) -> None:
    world = make_platforms(platform_of("sesterce"), platform_of("morpheus-node"))
    world.put_model("pair", {"sesterce": MODEL, "morpheus-node": MODEL})
    session_id = world.create_session("pair", failover=True, stop={"max_duration_seconds": 3600})
    world.settle()
    began = world.session(session_id).running_at
    world.pause("sesterce", "env:SESTERCE_1")
    world.end_there(session_id, "dead")
    world.pass_time(3 * MINUTE)
    session = world.session(session_id)
    assert (session.state, session.provider, session.running_at) == (State.RUNNING, "morpheus-node", began)
    old, new = world.placements(session_id)
    assert (old.state, bool(old.proof), new.state) == (PlacementState.CLOSED, True, PlacementState.OPEN)
    assert "failed_over" in world.events(session_id)
    world.pass_time(HOUR)
    assert world.session(session_id).stop_reason is StopReason.MAX_DURATION
    assert world.server.open_sessions() == []


def test_a_session_that_died_at_one_platform_is_served_by_the_other_one(make_platforms: MakeWorld) -> None:
    world = make_platforms(platform_of("fpt-template"), platform_of("sesterce"))
    world.put_model("pair", {"fpt-template": MODEL, "sesterce": MODEL})
    session_id = world.create_session("pair", failover=True)
    world.settle()
    for _ in range(2):
        world.end_there(session_id, "forgotten")
        world.pass_time(2 * MINUTE)
    assert [one.provider for one in world.placements(session_id)] == [
        "fpt-template",
        "sesterce",
        "fpt-template",
    ], "back only where nothing else is left"


def test_a_session_whose_open_was_lost_is_served_by_the_other_platform(make_platforms: MakeWorld) -> None:
    world = make_platforms(platform_of("fpt-template"), platform_of("openai"))
    world.put_model("pair", {"fpt-template": MODEL, "openai": MODEL})
    world.fault_at("fpt-template", "error_before", "open")
    session_id = world.create_session("pair")
    world.pass_time(15 * MINUTE)
    session = world.session(session_id)
    assert (session.state, session.provider, session.placements) == (State.RUNNING, "openai", 2)


def test_nothing_moves_where_no_replacement_is_possible(make_platforms: MakeWorld) -> None:
    world = make_platforms(platform_of("sesterce"), replace(platform_of("morpheus"), keys=1))
    world.put_model("pair", {"sesterce": MODEL, "morpheus": MODEL})
    world.run_at("morpheus")
    session_id = world.create_session("pair", failover=True)
    world.settle()
    world.pause("sesterce", "env:SESTERCE_1")
    world.end_there(session_id, "dead")
    world.pass_time(3 * MINUTE)
    session = world.session(session_id)
    assert (session.stop_reason, session.placements) == (StopReason.DEAD, 1)


def test_an_attached_endpoint_that_died_has_no_replacement(make_platforms: MakeWorld) -> None:
    world = make_platforms(platform_of("fpt-attach"))
    session_id = world.run_at("fpt-attach", failover=True)
    world.end_there(session_id)
    world.pass_time(5 * MINUTE)
    session = world.session(session_id)
    assert (session.stop_reason, session.placements) == (StopReason.DEAD, 1)


def test_beyond_the_declared_end_it_moves_on_at_that_end(make_platforms: MakeWorld) -> None:
    world = make_platforms(platform_of("fpt-template"))
    session_id = world.run_at("fpt-template", failover=True, stop={"max_duration_seconds": 600})
    declared = world.session(session_id).declared_end_at
    assert declared is not None
    world.done("session.extend", session_id=session_id, max_duration_seconds=7200)
    world.pass_time(declared - world.clock.now + MINUTE)
    session = world.session(session_id)
    assert (session.state, session.placements) == (State.RUNNING, 2)
    world.pass_time(2 * HOUR)
    assert world.session(session_id).stop_reason is StopReason.MAX_DURATION
    assert world.server.open_sessions() == []


def test_without_failover_nobody_extends_beyond_the_declared_end(make_platforms: MakeWorld) -> None:
    world = make_platforms(platform_of("fpt-template"))
    session_id = world.run_at("fpt-template", stop={"max_duration_seconds": 600})
    world.refused("session.extend", session_id=session_id, max_duration_seconds=7200)


# the gateway's own ping


def test_the_native_ping_takes_the_place_of_every_chat(make_platforms: MakeWorld) -> None:
    world = make_platforms(NATIVE)
    session_id = world.run_at("morpheus")
    world.pass_time(2 * MINUTE)
    assert (world.calls("ping_native", "morpheus"), world.chats("morpheus")) == (5, [])
    assert world.session(session_id).state is State.RUNNING
    world.done("session.close", session_id=session_id)
    world.pass_time(3 * SECOND)
    assert world.session(session_id).state is State.STOPPED
    assert world.server.report().pings_after_close == 0


def test_a_failed_native_ping_has_closed_the_session(make_platforms: MakeWorld) -> None:
    world = make_platforms(NATIVE)
    session_id = world.run_at("morpheus")
    world.fault_at("morpheus", "probe_fails", "ping_native", times=1)
    world.pass_time(MINUTE)
    session = world.session(session_id)
    assert (session.state, session.stop_reason) == (State.STOPPED, StopReason.DEAD)
    assert world.calls("close", "morpheus") == 2, "before the open, and after the death"
    assert [one.closed_by for one in world.server.sessions()] == ["ping"]


def test_no_close_runs_while_a_native_ping_holds_the_key(make_platforms: MakeWorld) -> None:
    world = make_platforms(replace(NATIVE, keys=1))
    session_id = world.run_at("morpheus")
    world.jump(30 * SECOND)
    hands = Hands(world.services)
    pinged = hands.ping("morpheus")
    assert len(pinged) == 1
    world.done("session.close", session_id=session_id)
    world.jump(2 * SECOND)
    assert hands.claim(Step.CLOSE) == [], "the ping's answer is not written down yet"
    hands.settle(*pinged)
    world.pass_time(2 * SECOND)
    assert world.session(session_id).state is State.STOPPED


def test_no_native_ping_begins_while_a_close_holds_the_key(make_platforms: MakeWorld) -> None:
    world = make_platforms(replace(NATIVE, keys=1))
    session_id = world.run_at("morpheus")
    world.jump(30 * SECOND)
    placement = world.placement(session_id)
    world.with_database(
        lambda tx: tx.claims.lease_credential(
            placement, now=tx.now(), token="another", lease_seconds=60, rest_seconds=0
        )
    )
    before = world.calls("ping_native", "morpheus")
    assert Hands(world.services).ping("morpheus") == []
    world.with_database(
        lambda tx: tx.credentials.release("morpheus", placement.credential, "another", tx.now(), 0)
    )
    world.pass_time(2 * SECOND)
    assert world.calls("ping_native", "morpheus") == before + 1, "a second later it is tried again"


def test_a_chat_ping_leaves_the_key_alone(make_platforms: MakeWorld) -> None:
    world = make_platforms(platform_of("morpheus"))
    world.run_at("morpheus")
    world.jump(30 * SECOND)
    assert len(Hands(world.services).ping("morpheus")) == 1
    with world.services.database.reading() as tx:
        assert [token_of(one) for one in tx.credentials.listed()] == [None, None]


@pytest.mark.parametrize(
    ("how", "reason"), [("expired", StopReason.PROVIDER_ENDED), ("forgotten", StopReason.DEAD)]
)
@pytest.mark.parametrize("asked", [True, False])
def test_the_last_word_on_the_dead_is_asked_where_the_operator_wants_it(
    asked: bool, how: str, reason: StopReason, make_platforms: MakeWorld
) -> None:
    world = make_platforms(platform_of("morpheus").with_options(confirm_dead_with_pingsession=asked))
    session_id = world.run_at("morpheus")
    world.end_there(session_id, how)
    world.fault_at("morpheus", "close_fails", "close")
    world.pass_time(3 * MINUTE)
    session = world.session(session_id)
    assert (session.stop_reason, session.state) == (reason, State.STOPPED), "else its ping is the proof"
    assert bool(world.calls("ping_native", "morpheus")) is asked


def test_a_user_who_closes_a_healthy_session_asks_nobody_whether_it_is_dead(
    make_platforms: MakeWorld,
) -> None:
    world = make_platforms(platform_of("morpheus").with_options(confirm_dead_with_pingsession=True))
    session_id = world.run_at("morpheus")
    world.fault_at("morpheus", "error_before", "close")
    world.done("session.close", session_id=session_id)
    world.pass_time(MINUTE)
    assert world.session(session_id).state is State.STOPPING
    assert world.calls("ping_native", "morpheus") == 0


# sleepers


def test_who_sleeps_is_not_woken_by_pings(make_platforms: MakeWorld) -> None:
    sleepy = replace(
        platform_of("sesterce").with_options(pending_means="asleep"), upstream={"sleeps_after": 100}
    )
    world = make_platforms(sleepy, policy=Policy(ping_interval_seconds=120))
    session_id = world.run_at("sesterce", stop={"max_duration_seconds": 3600})
    seen = len(world.chats("sesterce"))
    world.pass_time(20 * MINUTE)
    assert len(world.chats("sesterce")) == seen
    assert world.session(session_id).state is State.RUNNING
    world.pass_time(HOUR)
    session = world.session(session_id)
    assert (session.state, session.stop_reason) == (State.STOPPED, StopReason.MAX_DURATION)
    assert world.server.open_sessions() == []


def test_who_sleeps_is_not_woken_while_the_platform_cannot_be_asked(make_platforms: MakeWorld) -> None:
    sleepy = replace(
        platform_of("sesterce").with_options(pending_means="asleep"), upstream={"sleeps_after": 20}
    )
    world = make_platforms(sleepy)
    session_id = world.run_at("sesterce")
    world.pass_time(2 * MINUTE)
    assert world.placement(session_id).asleep_since is not None
    seen = len(world.chats("sesterce"))
    world.fault_at("sesterce", "error_before", "list")
    world.pass_time(3 * MINUTE)
    assert len(world.chats("sesterce")) == seen
    world.server.clear_faults()
    world.pass_time(MINUTE)
    assert (len(world.chats("sesterce")), world.session(session_id).state) == (seen, State.RUNNING)


def test_doubts_of_before_its_sleep_kill_nobody_who_wakes(make_platforms: MakeWorld) -> None:
    """The platform's own status, that it is only asleep, is newer than they are."""
    sleepy = replace(
        platform_of("sesterce").with_options(pending_means="asleep"), upstream={"sleeps_after": 100}
    )
    patient = Policy(ping_interval_seconds=120, dead_after_seconds=600)
    world = make_platforms(sleepy, policy=patient)
    session_id = world.run_at("sesterce", stop={"max_duration_seconds": 3600})
    world.jump(50 * SECOND)
    world.fault_at("sesterce", "error_before")
    world.done("session.ping", session_id=session_id)
    world.pass_time(40 * SECOND)
    assert world.session(session_id).failures > 3
    world.server.clear_faults()
    world.pass_time(10 * MINUTE)
    session = world.session(session_id)
    assert (session.state, session.failures, session.failing_since) == (State.RUNNING, 0, None)
    assert session.last_verdict == "TRANSIENT", "no ping has ended them"


def test_a_sleeper_that_is_to_start_is_woken(make_platforms: MakeWorld) -> None:
    asleep = replace(
        platform_of("sesterce").with_options(
            pending_means="asleep", on_open="attach", on_close="leave", instances={MODEL: "there"}
        ),
        upstream={"sleeps_after": 0.5, "instances": [{"id": "there", "model": MODEL}]},
    )
    world = make_platforms(asleep)
    world.jump(MINUTE)
    session_id = world.create_at("sesterce")
    world.settle()
    assert world.session(session_id).state is State.RUNNING, "its user waits for it"


def _sleepy(make_platforms: MakeWorld) -> PlatformWorld:
    """Return a world in which instances may be asleep, so that each ping follows a read of the list."""
    return make_platforms(platform_of("sesterce").with_options(pending_means="asleep"))


def test_a_slow_status_keeps_no_ping_from_beginning(make_platforms: MakeWorld) -> None:
    world = _sleepy(make_platforms)
    session_id = world.run_at("sesterce")
    seen = len(world.chats("sesterce"))
    world.fault_at("sesterce", "slow", "list", seconds=1.3)
    world.pass_time(30 * SECOND)
    assert len(world.chats("sesterce")) == seen + 1
    assert world.session(session_id).last_ping_at == world.clock.now


def test_a_stop_during_a_slow_status_is_followed_by_no_ping(make_platforms: MakeWorld) -> None:
    world = _sleepy(make_platforms)
    session_id = world.run_at("sesterce")
    world.jump(30 * SECOND)
    seen = len(world.chats("sesterce"))
    world.fault_at("sesterce", "slow", "list", seconds=1.3, times=1)
    with ThreadPoolExecutor() as pool:
        pinging = pool.submit(ping_due, world.services)
        while not world.server.log(upstream="sesterce", operation="list", fault="slow"):
            pass  # the ping has been claimed, and its status is being read
        world.done("session.close", session_id=session_id)
        pinging.result()
    world.pass_time(MINUTE)
    assert world.session(session_id).state is State.STOPPED
    assert len(world.chats("sesterce")) == seen


# the declared end


def test_a_declared_end_is_judged_by_the_stores_clock(make_platforms: MakeWorld) -> None:
    world = make_platforms(platform_of("fpt-attach"))
    ends_at = world.clock.now + HOUR
    attach = {**world.attachment("fpt-attach"), "ends_at": ends_at.isoformat()}
    session_id = world.run_at("fpt-attach", attach=attach)
    world.done("session.close", session_id=session_id)
    world.pass_time(30 * MINUTE)
    assert world.session(session_id).state is State.STOPPING, "it has not been ended yet"
    world.pass_time(HOUR)
    assert world.session(session_id).state is State.STOPPED
    assert "declared end" in (world.placement(session_id).proof or "")


# what it costs


def test_what_pings_cost_is_metered(make_platforms: MakeWorld) -> None:
    priced = replace(platform_of("aimlapi"), upstream={"price": "0.001"})
    world = make_platforms(priced, platform_of("openai"))
    world.run_at("aimlapi")
    world.run_at("openai")
    world.pass_time(2 * MINUTE)
    with world.services.database.reading() as tx:
        meters = {one.provider: one for one in tx.meters.listed()}
    assert (meters["aimlapi"].pings, meters["aimlapi"].cost_usd) == (5, Decimal("0.005"))
    assert (meters["openai"].pings, meters["openai"].cost_usd) == (5, Decimal(0))
    assert meters["aimlapi"].tokens > 0


@pytest.mark.parametrize("fault", ["", "unauthorized", "gone"])
def test_looks_at_attached_endpoints_are_pings_and_metered(fault: str, make_platforms: MakeWorld) -> None:
    world = make_platforms(platform_of("fpt-attach"))
    if fault:
        world.fault_at("fpt-attach", fault, times=1)
        world.create_at("fpt-attach")
        world.settle()
    session_id = world.run_at("fpt-attach")
    world.done("session.close", session_id=session_id)
    world.pass_time(HOUR)
    if fault:
        world.fault_at("fpt-attach", "gone")
        world.pass_time(HOUR)
        assert world.session(session_id).state is State.STOPPED
    with world.services.database.reading() as tx:
        (meter,) = tx.meters.listed()
    assert meter.pings == len(world.chats("fpt-attach"))


def test_a_low_balance_of_our_own_is_reported_once(make_platforms: MakeWorld) -> None:
    poor = replace(platform_of("aimlapi"), upstream={"balance": 3})
    world = make_platforms(poor, platform_of("openai"))
    for _ in range(3):
        read_balances(world.services)
        world.jump(MINUTE)
    assert world.events("aimlapi") == ["low_balance"]
    world.server.add_upstream("aimlapi", "aimlapi", ["sk-aimlapi-1"], [MODEL], balance=50)
    read_balances(world.services)
    world.jump(MINUTE)
    world.server.add_upstream("aimlapi", "aimlapi", ["sk-aimlapi-1"], [MODEL], balance=2)
    read_balances(world.services)
    assert world.events("aimlapi") == ["low_balance", "recovered", "low_balance"], "a new shortage"
    with world.services.database.reading() as tx:
        [meter] = [one for one in tx.meters.listed() if one.provider == "aimlapi"]
    assert (meter.balance, meter.balance_currency, meter.balance_is_low) == (Decimal(2), "USD", True)


def test_where_one_key_is_refused_another_tells_the_balance(make_platforms: MakeWorld) -> None:
    world = make_platforms(replace(platform_of("aimlapi"), keys=2, upstream={"balance": "1"}))
    world.fault_at("aimlapi", "unauthorized", "billing", key="sk-aimlapi-1")
    assert read_balances(world.services).settled == 1
    assert world.events("aimlapi") == ["low_balance"]


def test_a_balance_that_nobody_can_read_hides_no_others(
    make_platforms: MakeWorld, caplog: pytest.LogCaptureFixture
) -> None:
    world = make_platforms(platform_of("openai"), replace(platform_of("aimlapi"), upstream={"balance": 3}))
    drivers = {"openai": broken_driver("openai"), "aimlapi": world.services.drivers["aimlapi"]}
    tally = read_balances(replace(world.services, drivers=drivers))
    assert (tally.claimed, tally.settled, tally.failed) == (2, 1, 1)
    assert "the balance at openai cannot be read" in caplog.text
    assert world.events("aimlapi") == ["low_balance"]


# what may have been left behind


def test_possible_orphans_are_recorded(make_platforms: MakeWorld) -> None:
    world = make_platforms(platform_of("morpheus"))
    world.fault_at("morpheus", "error_after_effect", "open", times=1)
    session_id = world.create_at("morpheus")
    world.settle()
    assert world.placement(session_id).state is PlacementState.UNKNOWN
    assert world.placement(session_id).possible_orphans
    world.pass_time(19 * MINUTE)
    assert world.session(session_id).state is State.RUNNING
    first, _ = world.placements(session_id)
    assert (first.state, first.orphans_at_most) == (PlacementState.CLOSED, 2), (
        "what else it opened is not known"
    )


# the platform's own word


def test_who_loads_for_too_long_is_asked_after_before_it_is_called_dead(make_platforms: MakeWorld) -> None:
    world = make_platforms(platform_of("fpt-template"))
    session_id = world.run_at("fpt-template")
    world.fault_at("fpt-template", "loading")
    world.pass_time(18 * MINUTE)
    asked = world.calls("status", "fpt-template")
    world.end_there(session_id, "dead")
    world.pass_time(5 * MINUTE)
    session = world.session(session_id)
    assert session.stop_reason is StopReason.DEAD
    assert "the platform says so itself" in (session.stop_detail or "")
    assert asked == 0, "while it may load it is not asked"
