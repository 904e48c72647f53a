"""Keys that are refused, and keys with a Retry-After."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import httpx
import pytest

from orchestrator.flows.operations.provider_check import check_provider
from orchestrator.flows.upstream.credentials import retry_paused
from orchestrator.rules.states import State, StopReason
from orchestrator.rules.values import Credential, Verdict
from tests.drivers import MODEL, platform_of
from tests.flows.hands import Hands
from tests.platforms.broken_driver import broken_driver
from tests.platforms.conftest import MakeWorld
from tests.platforms.world import PlatformWorld
from tests.world import MINUTE, SECOND


def _credentials(world: PlatformWorld) -> Sequence[Credential]:
    with world.services.database.reading() as tx:
        return tx.credentials.listed()


def _paused(world: PlatformWorld) -> list[str]:
    return [one.ref for one in _credentials(world) if one.paused_since is not None]


def test_an_exclusive_key_refused_at_a_ping_is_paused_and_freed(make_platforms: MakeWorld) -> None:
    world = make_platforms(replace(platform_of("morpheus"), keys=1))
    session_id = world.run_at("morpheus")
    refused = world.fault_at("morpheus", "unauthorized")
    listing = world.fault_at("morpheus", "unauthorized", "models")
    world.pass_time(MINUTE)
    assert _paused(world) == ["env:MORPHEUS_1"]
    assert world.events("morpheus") == ["credential_paused"]
    assert world.session(session_id).state is State.RUNNING, "a refused key says nothing about the session"
    world.done("session.close", session_id=session_id)
    world.settle()
    world.pass_time(2 * SECOND)
    assert world.session(session_id).state is State.STOPPED, "closes continue"
    assert world.refused("session.create", account_id="acme", model_id="morpheus") == "no_capacity"
    waiting = world.create_at("morpheus", on_quota="queue")
    world.pass_time(2 * MINUTE)
    retried = retry_paused(world.services)
    assert retried.settled == 0, "it is still refused"
    world.server.remove_fault(refused)
    world.server.remove_fault(listing)
    retried = retry_paused(world.services)
    assert retried.claimed == 0, "not again at once"
    world.pass_time(MINUTE)
    retried = retry_paused(world.services)
    assert retried.settled == 1
    assert _paused(world) == []
    assert world.events("morpheus") == ["credential_paused", "recovered"]
    world.settle()
    assert world.session(waiting).state is State.RUNNING, "who waited was woken"


def test_a_key_refused_at_an_open_is_paused_and_the_next_one_serves(make_platforms: MakeWorld) -> None:
    world = make_platforms(platform_of("morpheus"))
    world.fault_at("morpheus", "unauthorized", "models", key="sk-morpheus-1")
    world.fault_at("morpheus", "unauthorized", "open", key="sk-morpheus-1")
    session_id = world.run_at("morpheus")
    assert world.session(session_id).credential == "env:MORPHEUS_2"
    assert _paused(world) == ["env:MORPHEUS_1"]
    assert world.events("morpheus") == ["credential_paused"]


def test_a_shared_key_is_paused_only_where_nobody_lives(make_platforms: MakeWorld) -> None:
    world = make_platforms(platform_of("fpt-template"))
    first, second = world.run_many_at("fpt-template", 2)
    world.fault_at("fpt-template", "unauthorized", session=world.placement(first).handle)
    world.pass_time(5 * MINUTE)
    assert _paused(world) == [], "the other one lives with the same key"
    world.fault_at("fpt-template", "unauthorized", session=world.placement(second).handle)
    world.pass_time(3 * MINUTE)
    assert _paused(world) == ["env:FPT_TEMPLATE_1"]
    assert {world.session(one).state for one in (first, second)} == {State.RUNNING}


def test_the_event_is_reported_once_for_all_sessions_of_the_key(make_platforms: MakeWorld) -> None:
    world = make_platforms(platform_of("openai"))
    world.run_many_at("openai", 5)
    world.fault_at("openai", "unauthorized")
    world.pass_time(5 * MINUTE)
    assert world.events("openai") == ["credential_paused"]


def test_who_stays_refused_for_too_long_is_dead(make_platforms: MakeWorld) -> None:
    world = make_platforms(platform_of("openai"))
    session_id = world.run_at("openai")
    world.fault_at("openai", "unauthorized")
    world.pass_time(16 * MINUTE)
    session = world.session(session_id)
    assert (session.stop_reason, session.last_verdict) == (StopReason.DEAD, Verdict.CREDENTIALS)
    assert (session.stop_detail or "").startswith("unusable for")


def test_the_secret_of_an_attached_endpoint_pauses_nobody(make_platforms: MakeWorld) -> None:
    world = make_platforms(platform_of("fpt-attach"), platform_of("openai"))
    world.run_at("fpt-attach")
    world.fault_at("fpt-attach", "unauthorized")
    world.pass_time(5 * MINUTE)
    assert _paused(world) == []
    assert world.events("fpt-attach") == []


def test_a_secret_that_may_no_longer_be_named_starts_nothing(make_platforms: MakeWorld) -> None:
    world = make_platforms(platform_of("fpt-attach"))
    started = world.create_at("fpt-attach", start=False)
    waiting = world.create_at("fpt-attach", start=False)
    world.services = replace(world.services, config=replace(world.services.config, attach_allowed=()))
    assert world.refused("session.start", session_id=started) == "invalid_request"
    assert world.refused("session.start", session_id=waiting, on_quota="queue") == "invalid_request"
    assert {world.session(one).state for one in (started, waiting)} == {State.CREATED}


def test_a_worker_without_the_secret_leaves_the_try_to_others(make_platforms: MakeWorld) -> None:
    world = make_platforms(platform_of("openai"))
    world.pause("openai", "env:OPENAI_1")
    secrets, world.secrets = world.secrets, {}
    poor = world.another_worker()
    world.secrets = secrets
    world.jump(2 * MINUTE)
    retried = retry_paused(poor)
    assert retried.settled == 0
    retried = retry_paused(world.services)
    assert retried.settled == 1, "its look was not counted as one"


def test_another_secret_behind_a_paused_key_is_reported_and_wakes_who_waits(
    make_platforms: MakeWorld,
) -> None:
    world = make_platforms(platform_of("fpt-template"))
    world.fault_at("fpt-template", "unauthorized", "open", times=1)
    world.create_at("fpt-template")
    world.settle()
    waiting = world.create_at("fpt-template", on_quota="queue")
    world.settle()
    assert world.session(waiting).state is State.QUEUED
    world.server.add_upstream("fpt-template", "fpt", ["sk-another"], [MODEL])
    world.secrets = {"FPT_TEMPLATE_1": "sk-another"}
    world.services = world.another_worker()
    assert world.events("fpt-template") == ["credential_paused", "recovered"]
    world.settle()
    assert world.session(waiting).state is State.RUNNING


def test_a_try_that_fails_in_a_way_nobody_foresaw_keeps_no_other_key_paused(
    make_platforms: MakeWorld, caplog: pytest.LogCaptureFixture
) -> None:
    world = make_platforms(platform_of("openai"), platform_of("aimlapi"))
    world.pause("openai", "env:OPENAI_1")
    world.pause("aimlapi", "env:AIMLAPI_1")
    world.jump(2 * MINUTE)
    drivers = {"openai": broken_driver("openai"), "aimlapi": world.services.drivers["aimlapi"]}
    retried = retry_paused(replace(world.services, drivers=drivers))
    assert retried.settled == 1
    assert _paused(world) == ["env:OPENAI_1"]
    assert "env:OPENAI_1 at openai" in caplog.text


def test_a_key_whose_sessions_are_still_refused_stays_paused_whatever_its_list_says(
    make_platforms: MakeWorld,
) -> None:
    world = make_platforms(platform_of("openai"))
    session_id = world.run_at("openai")
    refused = world.fault_at("openai", "unauthorized")
    for _ in range(20):
        world.pass_time(30 * SECOND)
        retried = retry_paused(world.services)
        assert retried.settled == 0
    assert world.events("openai") == ["credential_paused"]
    world.server.remove_fault(refused)
    world.pass_time(MINUTE)
    assert world.session(session_id).last_verdict is Verdict.ALIVE
    retried = retry_paused(world.services)
    assert retried.settled == 1
    assert world.events("openai") == ["credential_paused", "recovered"]


# Retry-After


def _with_one_key(make_platforms: MakeWorld) -> PlatformWorld:
    return make_platforms(platform_of("openai"))


def _without_keys(make_platforms: MakeWorld) -> PlatformWorld:
    return make_platforms(replace(platform_of("openai"), keys=0, upstream={"auth": "none"}))


@pytest.mark.parametrize("made", [_with_one_key, _without_keys])
@pytest.mark.parametrize("text", ["slow down", "Rate limit exceeded for this key"])
def test_a_retry_after_holds_the_pings_of_the_others_for_two_intervals(
    make_platforms: MakeWorld, made: Callable[[MakeWorld], PlatformWorld], text: str
) -> None:
    world = made(make_platforms)
    world.run_at("openai")
    world.pass_time(10 * SECOND)
    world.run_at("openai")
    world.fault_at("openai", "throttled", times=1, retry_after=100, text=text)
    before = len(world.chats("openai"))
    world.pass_time(20 * SECOND)
    assert len(world.chats("openai")) == before + 1
    world.pass_time(69 * SECOND)
    assert len(world.chats("openai")) == before + 1, "the other session's pings wait as well"
    world.pass_time(4 * SECOND)
    assert len(world.chats("openai")) == before + 2, "and no longer"
    world.pass_time(40 * SECOND)
    assert len(world.chats("openai")) == before + 4


def test_those_who_waited_together_do_not_come_back_together(make_platforms: MakeWorld) -> None:
    """Otherwise the first second after a Retry-After would bring the next one."""
    world = make_platforms(platform_of("openai"))
    world.run_many_at("openai", 30)
    world.fault_at("openai", "throttled", times=1, retry_after=60)
    world.jump(30 * SECOND)
    world.settle()
    before = len(world.chats("openai"))
    world.jump(60 * SECOND)
    came: list[int] = []
    for _ in range(8):
        world.settle()
        came.append(len(world.chats("openai")) - before - sum(came))
        world.jump(SECOND / 2)
    assert max(came) < 20, came
    assert sum(came) >= 29


def test_it_holds_in_every_worker(make_platforms: MakeWorld) -> None:
    world = make_platforms(platform_of("openai"))
    world.run_many_at("openai", 2)
    world.fault_at("openai", "throttled", times=1, retry_after=60)
    world.jump(30 * SECOND)
    world.settle()
    world.jump(31 * SECOND)
    worker = world.another_worker()
    assert Hands(worker).ping("openai") == []


def test_opens_wait_too_and_closes_never(make_platforms: MakeWorld) -> None:
    world = make_platforms(platform_of("fpt-template"))
    session_id = world.run_at("fpt-template")
    world.fault_at("fpt-template", "throttled", times=1, retry_after=120)
    world.pass_time(30 * SECOND)
    world.done("session.close", session_id=session_id)
    world.pass_time(5 * SECOND)
    assert world.session(session_id).state is State.STOPPED
    code = world.refused("session.create", account_id="acme", model_id="fpt-template")
    assert code == "no_capacity"
    waiting = world.create_at("fpt-template", on_quota="queue")
    world.pass_time(2 * MINUTE)
    world.wake_queues()
    assert world.session(waiting).state is State.RUNNING


@pytest.mark.parametrize(
    ("reported", "waited"),
    [
        pytest.param(20, 20, id="a moment"),
        pytest.param(290, 290, id="minutes"),
        pytest.param(86_400, 300, id="a day is not believed"),
    ],
)
def test_a_throttled_open_is_sent_again_when_the_time_has_come(
    reported: int, waited: int, make_platforms: MakeWorld
) -> None:
    world = make_platforms(platform_of("fpt-template"))
    world.fault_at("fpt-template", "throttled", "open", times=1, retry_after=reported)
    session_id = world.create_at("fpt-template")
    began = world.clock.seconds()
    world.settle()
    world.pass_time(6 * MINUTE)
    assert world.session(session_id).state is State.RUNNING
    calls = world.server.log(upstream="fpt-template", operation="open")
    first, again = (round(call.began_at - began) for call in calls)
    assert first == 0
    assert waited <= again <= waited + 4


def test_a_model_that_says_how_long_it_loads_is_left_alone_for_so_long(make_platforms: MakeWorld) -> None:
    world = make_platforms(platform_of("openai"))
    world.run_at("openai")
    before, began = len(world.chats("openai")), world.clock.seconds()
    world.fault_at("openai", "status", times=1, status=503, headers={"Retry-After": "120"})
    world.pass_time(3 * MINUTE)
    calls = world.chats("openai")[before:]
    assert [round(call.began_at - began) for call in calls] == [30, 150, 180]


def test_an_absurd_retry_after_is_believed_for_ten_intervals(make_platforms: MakeWorld) -> None:
    world = make_platforms(platform_of("openai"))
    session_id = world.run_at("openai")
    world.fault_at("openai", "throttled", times=1, retry_after=10_000_000)
    world.pass_time(30 * SECOND)
    world.pass_time(305 * SECOND)
    assert world.session(session_id).last_verdict is Verdict.ALIVE


def test_a_wait_that_is_no_number_holds_nobody(make_platforms: MakeWorld) -> None:
    world = make_platforms(platform_of("openai"))
    session_id = world.run_at("openai")
    body = {"error": "slow down", "estimated_time": math.nan}
    world.fault_at("openai", "status", times=1, status=429, body=body)
    world.pass_time(31 * SECOND)
    assert world.session(session_id).last_verdict is Verdict.THROTTLED
    world.pass_time(MINUTE)
    assert world.session(session_id).last_verdict is Verdict.ALIVE


def test_another_key_of_the_pool_is_not_held(make_platforms: MakeWorld) -> None:
    world = make_platforms(replace(platform_of("openai"), keys=2))
    world.run_at("openai", credential="env:OPENAI_1")
    world.fault_at("openai", "throttled", times=1, retry_after=200, key="sk-openai-1")
    world.pass_time(30 * SECOND)
    session_id = world.run_at("openai")
    assert world.session(session_id).credential == "env:OPENAI_2"
    world.pass_time(MINUTE)
    assert world.session(session_id).last_ping_at == world.clock.now


def test_throttling_alone_kills_nobody(make_platforms: MakeWorld) -> None:
    world = make_platforms(platform_of("openai"))
    session_id = world.run_at("openai")
    world.fault_at("openai", "throttled")
    world.pass_time(30 * MINUTE)
    assert world.session(session_id).state is State.RUNNING


def test_without_keys_too_new_sessions_wait_and_closes_never(make_platforms: MakeWorld) -> None:
    world = _without_keys(make_platforms)
    session_id = world.run_at("openai")
    world.fault_at("openai", "throttled", times=1, retry_after=120)
    world.pass_time(30 * SECOND)
    world.done("session.close", session_id=session_id)
    world.pass_time(5 * SECOND)
    assert world.session(session_id).state is State.STOPPED
    assert world.refused("session.create", account_id="acme", model_id="openai") == "no_capacity"
    waiting = world.create_at("openai", on_quota="queue")
    world.pass_time(114 * SECOND)
    assert world.session(waiting).state is State.QUEUED
    world.pass_time(6 * SECOND)
    assert world.session(waiting).state is State.RUNNING, "it woke by itself"


def test_an_attached_endpoint_that_says_to_wait_holds_no_other(make_platforms: MakeWorld) -> None:
    world = make_platforms(platform_of("fpt-attach"))
    first, second = world.run_many_at("fpt-attach", 2)
    world.fault_at("fpt-attach", "throttled", times=1, retry_after=200, key=world.secrets["ATTACHED_1"])
    world.pass_time(MINUTE)
    last = [world.session(one).last_ping_at for one in (first, second)]
    assert last == [world.clock.now - 30 * SECOND, world.clock.now]


# pools


def test_an_exclusive_key_carries_one_and_the_least_recently_used_comes_first(
    make_platforms: MakeWorld,
) -> None:
    world = make_platforms(replace(platform_of("morpheus"), keys=3))
    taken = []
    for _ in range(5):
        session_id = world.run_at("morpheus")
        taken.append(world.session(session_id).credential)
        world.pass_time(SECOND)
        world.done("session.close", session_id=session_id)
        world.pass_time(5 * SECOND)
    assert taken == [f"env:MORPHEUS_{n}" for n in (1, 2, 3, 1, 2)]
    world.run_many_at("morpheus", 3)
    assert world.refused("session.create", account_id="acme", model_id="morpheus") == "no_capacity"
    assert max(world.server.report().most_active_per_key["morpheus"].values()) == 1


@pytest.mark.parametrize("name", ["openai", "fpt-template"])
def test_a_shared_key_carries_many(name: str, make_platforms: MakeWorld) -> None:
    world = make_platforms(platform_of(name))
    sessions = world.run_many_at(name, 5)
    assert {world.session(one).credential for one in sessions} == set(platform_of(name).refs)


def test_a_key_that_two_providers_share_carries_one_session_all_the_same(make_platforms: MakeWorld) -> None:
    """A start refuses it; the claim does not rely on that, as the next open would close the other's session."""
    world = make_platforms(replace(platform_of("morpheus"), keys=1))
    world.providers["twin"] = replace(world.providers["morpheus"], name="twin")
    world.services = world.another_worker()
    world.put_model("twin", {"twin": MODEL})
    first = world.run_at("morpheus")
    assert world.refused("session.create", account_id="acme", model_id="twin") == "no_capacity"
    world.pass_time(3 * MINUTE)
    assert world.session(first).state is State.RUNNING
    world.done("session.close", session_id=first)
    world.settle()
    second = world.create_session("twin")
    world.settle()
    assert world.session(second).state is State.RUNNING


def test_a_gateway_without_session_calls_takes_no_session_until_it_has_them_again(
    make_platforms: MakeWorld,
) -> None:
    world = make_platforms(replace(platform_of("morpheus"), keys=1, upstream={"retired": True}))
    session_id = world.create_at("morpheus")
    world.pass_time(5 * SECOND)
    assert world.session(session_id).state is State.FAILED
    assert world.events("morpheus") == ["credential_paused"]
    (key,) = _credentials(world)
    assert "session endpoints are retired here" in str(key.paused_reason)
    assert world.refused("session.create", account_id="acme", model_id="morpheus") == "no_capacity"
    world.pass_time(2 * MINUTE)
    retried = retry_paused(world.services)
    assert (retried.claimed, _paused(world)) == (1, ["env:MORPHEUS_1"])
    found = {one.what: one for one in check_provider(world.services, "morpheus")}
    reported = found["credential env:MORPHEUS_1"]
    assert (reported.works, "retired" in reported.said, "base_url" in str(reported.remedy)) == (
        False,
        True,
        True,
    )
    world.server.add_upstream("morpheus", "morpheus", ["sk-morpheus-1"], [MODEL])
    world.pass_time(2 * MINUTE)
    retried = retry_paused(world.services)
    assert (retried.settled, _paused(world)) == (1, [])
    world.run_at("morpheus")


def test_nobody_is_dead_because_a_gateway_has_retired_its_own_ping(make_platforms: MakeWorld) -> None:
    world = make_platforms(platform_of("morpheus").with_options(ping="native"))
    session_id = world.run_at("morpheus")
    for operation in ("ping_native", "close", "look"):
        world.fault_at("morpheus", "status", operation, status=404, body={"detail": "Not Found"})
    world.pass_time(17 * MINUTE)
    assert (world.session(session_id).state, _paused(world)) == (State.RUNNING, ["env:MORPHEUS_1"])
    assert world.events("morpheus") == ["credential_paused"]


@pytest.mark.parametrize(("ping", "operation"), [("chat", "close"), ("native", "ping_native")])
def test_a_session_that_is_not_ours_under_our_key_is_reported(
    ping: str, operation: str, make_platforms: MakeWorld
) -> None:
    world = make_platforms(replace(platform_of("morpheus").with_options(ping=ping), keys=1))
    session_id = world.run_at("morpheus")
    world.fault_at("morpheus", "wrong_id", operation)
    if operation == "close":
        world.done("session.close", session_id=session_id)
    world.pass_time(3 * MINUTE)
    assert world.events("morpheus") == ["ownership_lost"]


def _opened_by_another(world: PlatformWorld, model: str = MODEL) -> None:
    """Open a session with our key, as another system does."""
    base = world.providers["morpheus"].base_url
    headers = {"Authorization": "Bearer sk-morpheus-1"}
    listed = httpx.get(f"{base}/models", headers=headers).json()["data"]
    there = next(one["blockchainID"] for one in listed if one["id"] == model)
    body = {"sessionDuration": 3600}
    httpx.post(f"{base}/session/modelsession?model_id={there}", json=body, headers=headers).raise_for_status()


def test_an_open_that_ends_anothers_session_under_our_key_is_reported(make_platforms: MakeWorld) -> None:
    world = make_platforms(replace(platform_of("morpheus"), keys=1))
    _opened_by_another(world)
    [theirs] = world.server.open_sessions()
    session_id = world.run_at("morpheus")
    assert world.events("morpheus") == ["ownership_lost"]
    with world.services.database.reading() as tx:
        reported = tx.outbox.tail(subject="morpheus")[-1].data
    assert (reported["foreign_handle"], reported["session_id"]) == (theirs.id, session_id)


@pytest.mark.parametrize("trouble", ["no_bids", "error_before"])
def test_it_is_reported_where_the_open_then_fails_too(trouble: str, make_platforms: MakeWorld) -> None:
    world = make_platforms(replace(platform_of("morpheus"), keys=1))
    _opened_by_another(world)
    world.fault_at("morpheus", trouble, "open")
    world.create_at("morpheus")
    world.pass_time(SECOND)
    assert world.events("morpheus") == ["ownership_lost"]


def test_what_our_own_sessions_left_under_a_key_is_nobody_elses(make_platforms: MakeWorld) -> None:
    world = make_platforms(replace(platform_of("morpheus"), keys=1))
    session_id = world.run_at("morpheus")
    world.done("session.close", session_id=session_id, reason="operator", force=True, by="me", detail="t")
    world.settle()
    assert len(world.server.open_sessions()) == 1
    world.run_at("morpheus")
    assert world.events("morpheus") == []


def test_what_a_lost_open_may_have_left_accuses_nobody(make_platforms: MakeWorld) -> None:
    world = make_platforms(replace(platform_of("morpheus"), keys=1))
    world.fault_at("morpheus", "cut_after_effect", "open", times=1)
    lost = world.create_at("morpheus")
    world.settle()
    world.done("session.close", session_id=lost, reason="operator", force=True, by="me", detail="t")
    world.settle()
    assert len(world.server.open_sessions()) == 1
    world.run_at("morpheus")
    assert world.events("morpheus") == []
