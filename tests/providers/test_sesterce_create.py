"""Instances that are created: found by name after a lost answer, waited for, never created twice."""

import asyncio
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from orchestrator.providers.port.driver import Driver, Life, Placed
from orchestrator.providers.port.errors import Misconfigured, NotClosed, OutcomeUnknown, ProviderFull
from orchestrator.rules.values import Verdict
from orchestrator.simulator import SimulatorServer
from tests.drivers import MODEL
from tests.providers.instances import (
    ATTACH,
    CREATE,
    SEED,
    SHORT,
    close,
    life,
    live,
    operations,
    verdict,
)
from tests.providers.stage import KEY, Stage, secret, stage_of
from tests.simulator.conftest import HandClock
from tests.waiting import eventually


def test_a_create_carries_the_settings_and_our_name(timed: SimulatorServer) -> None:
    stage = stage_of(timed, CREATE)
    placed = stage.open(name="p-1")
    (listed,) = stage.play(lambda driver: driver.list(secret()))
    assert (listed.handle, listed.name, listed.price_per_hour) == (placed.handle, "p-1", Decimal("1.5"))
    assert operations(stage)[:4] == ["list", "create", "list", "models"]


def test_the_operators_own_instances_are_foreign(timed: SimulatorServer) -> None:
    stage = stage_of(timed, CREATE, instances=[SEED])
    (listed,) = stage.play(lambda driver: driver.list(secret()))
    assert (listed.handle, listed.name, listed.foreign) == ("aaa1", None, True)
    attached = stage_of(timed, ATTACH, instances=[{**SEED, "name": "orchestrator-p-1"}])
    (listed,) = attached.play(lambda driver: driver.list(secret()))
    assert listed.foreign


def test_the_same_order_again_never_creates_twice(timed: SimulatorServer) -> None:
    stage = stage_of(timed, CREATE)
    assert stage.open().handle == stage.open().handle
    assert len(stage.calls("create")) == 1


def test_pings_wait_for_what_deploys(timed: SimulatorServer, clock: HandClock) -> None:
    deploy = [("NEW", 5), ("DEPLOYING", 60), ("PARTIALLYDEPLOYED", 10)]
    stage = stage_of(timed, CREATE, deploy=deploy)
    placed = stage.open()
    seen = [(life(stage, placed), verdict(stage, placed))]
    for seconds in (10, 56, 10):
        clock.advance(seconds)
        seen.append((life(stage, placed), verdict(stage, placed)))
    assert seen == [
        (Life.STARTING, Verdict.TRANSIENT),
        (Life.STARTING, Verdict.TRANSIENT),
        (Life.DEGRADED, Verdict.ALIVE),
        (Life.RUNNING, Verdict.ALIVE),
    ]


def while_opening(stage: Stage, act: Callable[[], None]) -> Placed:
    """Open, and act once the list has been read a few times."""

    async def story(driver: Driver) -> Placed:
        opening = asyncio.create_task(driver.open(stage.order()))
        await asyncio.to_thread(eventually, lambda: len(stage.calls("list")) > 3, "four lists")
        act()
        return await opening

    return stage.play(story)


@pytest.mark.parametrize("lag", [{"address_after": 30}, {"list_lag": 30}])
def test_an_address_that_comes_late_is_waited_for(
    timed: SimulatorServer, clock: HandClock, lag: dict[str, float]
) -> None:
    stage = stage_of(timed, CREATE, **lag)
    placed = while_opening(stage, lambda: clock.advance(31))
    assert verdict(stage, placed) is Verdict.ALIVE
    assert len(stage.calls("create")) == 1


@pytest.mark.parametrize("lag", [{"address_after": 30}, {"list_lag": 30}])
def test_an_address_that_comes_too_late_is_resolved(
    timed: SimulatorServer, clock: HandClock, lag: dict[str, float]
) -> None:
    stage = stage_of(timed, CREATE, **lag)
    with pytest.raises(OutcomeUnknown, match="without an address in time") as raised:
        stage.play(lambda driver: driver.open(stage.order()), **SHORT)
    assert raised.value.possible_orphans
    clock.advance(31)
    found = stage.resolve()
    assert isinstance(found, Placed)
    assert live(stage) == [found.handle]


def test_a_deployment_that_fails_is_refused_once_it_is_ended(timed: SimulatorServer) -> None:
    stage = stage_of(timed, CREATE, fails={MODEL: "CUDA out of memory"})
    with pytest.raises(ProviderFull, match=r"FAILED \(CUDA out of memory\)"):
        stage.open()
    assert live(stage) == []
    assert stage.play(lambda driver: driver.list(secret())) == []


def test_a_failed_deployment_that_cannot_be_ended_is_unknown(timed: SimulatorServer) -> None:
    stage = stage_of(timed, CREATE, fails={MODEL: "CUDA out of memory"})
    stage.fault("close_fails", operation="close")
    with pytest.raises(OutcomeUnknown, match="CUDA out of memory"):
        stage.open()


def test_no_capacity_is_a_full_provider(timed: SimulatorServer) -> None:
    stage = stage_of(timed, CREATE)
    body = {"statusCode": 409, "message": "No capacity left for l40s"}
    stage.fault("status", operation="create", status=409, body=body)
    with pytest.raises(ProviderFull):
        stage.open()


@pytest.mark.parametrize(
    "said",
    [
        {"full_texts": ["Nothing Free"]},
        {"errors": [{"statuses": [409], "pattern": "nothing free", "means": "full"}]},
    ],
    ids=["its words", "its errors"],
)
def test_the_configuration_says_how_a_full_provider_speaks(
    timed: SimulatorServer, said: dict[str, Any]
) -> None:
    stage = stage_of(timed, CREATE)
    body = {"statusCode": 409, "message": "Nothing free, no capacity"}
    stage.fault("status", operation="create", status=409, body=body)
    with pytest.raises(ProviderFull):
        stage.play(lambda driver: driver.open(stage.order()), **said)
    with pytest.raises(Misconfigured):
        stage.play(lambda driver: driver.open(stage.order()), full_texts=["something else"])


def test_a_secret_in_what_a_container_says_is_not_shown(timed: SimulatorServer) -> None:
    stage = stage_of(timed, CREATE, fails={MODEL: f"{'.' * 90} wrong token {KEY}"})
    with pytest.raises(ProviderFull) as refused:
        stage.open()
    assert KEY[:6] not in str(refused.value)


@pytest.mark.parametrize("fault", ["unauthorized", "forbidden", "invalid_json", "error_before", "throttled"])
def test_after_a_create_no_trouble_looks_like_a_refusal(timed: SimulatorServer, fault: str) -> None:
    stage = stage_of(timed, CREATE, address_after=1)
    stage.server.fault("slow", upstream="up", operation="list", times=1, seconds=0)  # the first one is good
    stage.fault(fault, operation="list")
    with pytest.raises(OutcomeUnknown):
        stage.play(lambda driver: driver.open(stage.order()), **SHORT)


@pytest.mark.parametrize("fault", ["unauthorized", "gone", "html", "throttled"])
def test_an_endpoint_that_cannot_be_asked_leaves_the_rest_to_the_pings(
    timed: SimulatorServer, fault: str
) -> None:
    stage = stage_of(timed, CREATE)
    stage.fault(fault, operation="models")
    placed = stage.open()
    assert live(stage) == [placed.handle]
    assert verdict(stage, placed) is Verdict.ALIVE


def test_a_list_with_pages_proves_nothing(timed: SimulatorServer) -> None:
    stage = stage_of(timed, CREATE)
    placed = stage.open()
    body = {"data": [], "total": 20}
    stage.fault("status", operation="list", status=200, body=body)
    with pytest.raises(NotClosed, match="it has pages"):
        close(stage, placed)
    with pytest.raises(OutcomeUnknown):
        stage.resolve(close=True)
    assert life(stage, placed) is Life.UNKNOWN


@pytest.mark.parametrize("fault", ["unauthorized", "cut_before_effect", "invalid_json"])
def test_a_status_that_cannot_be_had_is_unknown(timed: SimulatorServer, fault: str) -> None:
    stage = stage_of(timed, CREATE)
    placed = stage.open()
    stage.fault(fault, operation="list")
    assert life(stage, placed) is Life.UNKNOWN


def test_a_long_list_hinders_neither_opens_nor_closes(timed: SimulatorServer) -> None:
    """The client here reads 64 KiB of any other answer."""
    others = [{"id": f"{n:024x}", "model": MODEL, "running": False, "name": "x" * 40} for n in range(400)]
    stage = stage_of(timed, CREATE, instances=others)
    placed = stage.open()
    assert life(stage, placed) is Life.RUNNING
    assert close(stage, placed)
