"""Alarms that operators get once: a model that a key may not use, an empty account, a wrong configuration."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from orchestrator.flows.operations.provider_check import check_provider
from orchestrator.flows.upstream.credentials import retry_paused
from orchestrator.rules.states import PlacementState, State, StopReason
from orchestrator.rules.upstream.alarms import Alarm, AlarmKind
from tests.drivers import platform_of
from tests.drivers.morpheus_node import WALLET
from tests.platforms.conftest import MakeWorld
from tests.platforms.world import PlatformWorld
from tests.world import HOUR, MINUTE, SECOND

TOLD = "credential_paused_for_model"


def _alarms(world: PlatformWorld) -> Sequence[Alarm]:
    with world.services.database.reading() as tx:
        return tx.alarms.listed()


def _last_event(world: PlatformWorld, provider: str) -> Mapping[str, Any]:
    with world.services.database.reading() as tx:
        data: Mapping[str, Any] = tx.outbox.tail(subject=provider)[-1].data
    return data


@pytest.fixture
def shop(make_platforms: MakeWorld) -> PlatformWorld:
    """Return a world of one server with one key and two models; the key will not be allowed to use `costly`."""
    world = make_platforms(platform_of("openai"))
    models = ["llama-3", "qwen-2"]
    world.server.add_upstream("openai", "openai", ["sk-openai-1"], models)
    world.put_model("costly", {"openai": "qwen-2"})
    return world


def _refuse(world: PlatformWorld) -> str:
    return world.fault_at("openai", "unauthorized", model="qwen-2")


def test_a_shared_key_is_paused_for_the_one_model_that_it_may_not_use(shop: PlatformWorld) -> None:
    cheap = shop.run_at("openai")
    costly = shop.create_session("costly")
    shop.settle()
    _refuse(shop)
    shop.pass_time(2 * MINUTE)
    assert shop.events("openai") == [TOLD], "once, not with each ping"
    assert shop.refused("session.create", account_id="acme", model_id="costly") == "no_capacity"
    another = shop.run_at("openai")
    assert {shop.session(one).state for one in (cheap, costly, another)} == {State.RUNNING}
    (alarm,) = _alarms(shop)
    assert (alarm.kind, alarm.credential, alarm.model_id) == (
        AlarmKind.MODEL_PAUSED,
        "env:OPENAI_1",
        "costly",
    )


def test_who_waits_for_the_model_is_woken_to_try_it_again(shop: PlatformWorld) -> None:
    shop.run_at("openai")
    shop.create_session("costly")
    shop.settle()
    refused = _refuse(shop)
    shop.pass_time(MINUTE)
    waiting = shop.create_session("costly", on_quota="queue")
    shop.pass_time(30 * SECOND)
    shop.server.remove_fault(refused)
    assert shop.session(waiting).state is State.QUEUED
    shop.pass_time(31 * SECOND)
    retry_paused(shop.services)
    shop.settle()
    assert shop.session(waiting).state is State.RUNNING
    shop.pass_time(2 * MINUTE)
    assert shop.events("openai") == [TOLD, "recovered"]
    assert _alarms(shop) == []


def test_refused_again_the_model_waits_longer_and_nothing_is_reported_twice(shop: PlatformWorld) -> None:
    shop.run_at("openai")
    shop.create_session("costly")
    shop.settle()
    _refuse(shop)
    shop.pass_time(MINUTE)
    refusals = []
    for _ in range(2):
        shop.pass_time(5 * MINUTE)
        retry_paused(shop.services)
        shop.pass_time(MINUTE)
        (alarm,) = _alarms(shop)
        assert alarm.retry_at is not None
        refusals.append(alarm.refusals)
    assert refusals == [2, 3]
    assert shop.events("openai") == [TOLD]


def test_another_key_serves_the_model_meanwhile(make_platforms: MakeWorld) -> None:
    world = make_platforms(replace(platform_of("openai"), keys=2))
    world.server.add_upstream("openai", "openai", ["sk-openai-1", "sk-openai-2"], ["llama-3", "qwen-2"])
    world.put_model("costly", {"openai": "qwen-2"})
    for ref in ("env:OPENAI_1", "env:OPENAI_2"):
        world.run_at("openai", credential=ref)
    first = world.create_session("costly")
    world.settle()
    refused = world.session(first).credential
    key = world.secrets[str(refused).removeprefix("env:")]
    world.fault_at("openai", "unauthorized", model="qwen-2", key=key)
    world.pass_time(MINUTE)
    others = [world.create_session("costly") for _ in range(3)]
    world.settle()
    assert refused not in {world.session(one).credential for one in others}


EMPTY: Mapping[str, Any] = {"fault": "out_of_balance"}
WRONG: Mapping[str, Any] = {"fault": "status", "status": 422, "body": {"detail": "no such field"}}
ALARMED = pytest.mark.parametrize(
    ("fault", "kind"),
    [(EMPTY, AlarmKind.OUT_OF_BALANCE), (WRONG, AlarmKind.MISCONFIGURED)],
    ids=["empty", "wrong"],
)


@ALARMED
def test_pings_raise_an_alarm_once_until_it_is_well_again(
    fault: Mapping[str, Any], kind: AlarmKind, shop: PlatformWorld
) -> None:
    shop.run_many_at("openai", 3)
    wrong = shop.fault_at("openai", **fault)
    shop.pass_time(5 * MINUTE)
    assert shop.events("openai") == [kind.value]
    shop.server.remove_fault(wrong)
    shop.pass_time(5 * MINUTE)
    assert shop.events("openai") == [kind.value, "recovered"]
    shop.fault_at("openai", **fault)
    shop.pass_time(MINUTE)
    assert shop.events("openai") == [kind.value, "recovered", kind.value]


@ALARMED
def test_while_some_are_well_and_some_are_not_it_is_reported_once(
    fault: Mapping[str, Any], kind: AlarmKind, make_platforms: MakeWorld
) -> None:
    world = make_platforms(platform_of("fpt-template"))
    sick, _ = world.run_many_at("fpt-template", 2)
    world.fault_at("fpt-template", **fault, session=world.placement(sick).handle)
    world.pass_time(10 * MINUTE)
    assert world.events("fpt-template") == [kind.value]


def test_a_wrong_configuration_is_reported_for_each_model(shop: PlatformWorld) -> None:
    shop.run_at("openai")
    shop.create_session("costly")
    shop.settle()
    shop.fault_at("openai", **WRONG)
    shop.pass_time(5 * MINUTE)
    assert shop.events("openai") == ["misconfigured", "misconfigured"]
    assert {one.model_id for one in _alarms(shop)} == {"openai", "costly"}


@ALARMED
def test_refused_opens_raise_them_too(
    fault: Mapping[str, Any], kind: AlarmKind, make_platforms: MakeWorld
) -> None:
    world = make_platforms(platform_of("fpt-template"))
    world.fault_at("fpt-template", operation="open", **fault)
    for _ in range(2):
        session_id = world.create_at("fpt-template")
        world.settle()
        assert world.session(session_id).stop_reason is StopReason.START_FAILED
    assert world.events("fpt-template") == [kind.value]
    world.server.clear_faults()
    world.pass_time(5 * MINUTE)
    world.run_at("fpt-template")
    assert world.events("fpt-template") == [kind.value, "recovered"]


def test_what_nobody_uses_any_more_is_forgotten(make_platforms: MakeWorld) -> None:
    world = make_platforms(platform_of("fpt-template"))
    world.fault_at("fpt-template", "out_of_balance", "open")
    world.create_at("fpt-template")
    world.settle()
    world.jump(23 * HOUR)
    retry_paused(world.services)
    assert len(_alarms(world)) == 1
    world.jump(2 * HOUR)
    retry_paused(world.services)
    assert _alarms(world) == []
    assert world.events("fpt-template") == ["out_of_balance", "recovered"], (
        "what was reported is reported to be over"
    )
    assert _last_event(world, "fpt-template")["ended_by"] == "it was not seen for a day"
    world.server.clear_faults()
    world.run_at("fpt-template")
    assert world.events("fpt-template") == ["out_of_balance", "recovered"], "once"


def test_another_secret_starts_with_a_clean_slate(shop: PlatformWorld) -> None:
    shop.run_at("openai")
    shop.fault_at("openai", "out_of_balance")
    shop.pass_time(MINUTE)
    assert len(_alarms(shop)) == 1
    shop.secrets = {"OPENAI_1": "sk-another"}
    shop.another_worker()
    assert _alarms(shop) == []
    assert shop.events("openai") == ["out_of_balance", "recovered"]
    shop.another_worker()
    assert shop.events("openai") == ["out_of_balance", "recovered"]


def _wrong_wallet(make_platforms: MakeWorld) -> PlatformWorld:
    """Set a `user` that is not the node's own wallet."""
    return make_platforms(platform_of("morpheus-node").with_options(user="0x" + "cd" * 20))


def test_a_wrong_wallet_is_reported_by_its_first_open_and_no_ping_contradicts_it(
    make_platforms: MakeWorld,
) -> None:
    world = _wrong_wallet(make_platforms)
    world.run_at("morpheus-node")
    world.pass_time(30 * MINUTE)
    assert world.events("morpheus-node") == ["misconfigured"]
    [standing] = _alarms(world)
    assert (standing.model_id, "user" in standing.reason) == (None, True)
    found = {one.what: one for one in check_provider(world.services, "morpheus-node")}
    reported = next(one for what, one in found.items() if what.startswith("owner of"))
    assert (reported.works, "user" in reported.said) == (False, True)
    world.providers["morpheus-node"] = replace(
        world.providers["morpheus-node"],
        options={**world.providers["morpheus-node"].options, "user": WALLET},
    )
    world.services = world.another_worker()
    world.run_at("morpheus-node")
    assert (world.events("morpheus-node"), _alarms(world)) == (["misconfigured", "recovered"], [])


def test_a_wrong_wallets_list_ends_no_lost_open(make_platforms: MakeWorld) -> None:
    world = _wrong_wallet(make_platforms)
    world.run_at("morpheus-node")
    world.fault_at("morpheus-node", "cut_after_effect", "open", times=1)
    lost = world.create_at("morpheus-node")
    world.settle()
    world.done("session.close", session_id=lost)
    world.pass_time(30 * MINUTE)
    placement = world.placement(lost)
    assert (placement.state, "user is" in str(placement.last_answer)) == (PlacementState.UNKNOWN, True)
    assert len(world.server.open_sessions()) == 2


def test_where_nothing_of_ours_runs_nobody_can_say_whose_it_is(make_platforms: MakeWorld) -> None:
    world = _wrong_wallet(make_platforms)
    found = {one.what: one for one in check_provider(world.services, "morpheus-node")}
    assert found["owner"].works is None
