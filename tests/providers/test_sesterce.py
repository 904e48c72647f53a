"""Peculiarities of Sesterce: instances that are attached or started, and proven ended by the list."""

from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from orchestrator.providers import registry
from orchestrator.providers.port.abilities import ListsModels
from orchestrator.providers.port.driver import Driver, Life, NotPlaced, Placed
from orchestrator.providers.port.errors import (
    CannotAsk,
    Misconfigured,
    ModelMissing,
    NotClosed,
    NotSent,
    OutcomeUnknown,
    ProviderFull,
)
from orchestrator.rules.values import Verdict
from orchestrator.simulator import SimulatorServer
from tests.drivers import MODEL, PlatformUnderTest
from tests.providers.instances import (
    ATTACH,
    CREATE,
    SEED,
    SHORT,
    START,
    close,
    kind,
    life,
    live,
    operations,
    verdict,
)
from tests.providers.stage import Stage, secret, stage_of
from tests.simulator.conftest import HandClock


def events_of(stage: Stage, model: str) -> str:
    """Return the list's description of a model, before anything is opened."""

    async def ask(driver: Driver) -> str:
        assert isinstance(driver, ListsModels)
        return await driver.lists(model, secret())

    return stage.play(ask)


# attach


@pytest.mark.parametrize("reference", ["aaa1", "made in the console"])
def test_an_instance_is_attached_by_id_or_name(timed: SimulatorServer, reference: str) -> None:
    stage = stage_of(timed, ATTACH, instances=[SEED])
    placed = stage.open(model=reference)
    assert (placed.handle, placed.endpoint.model) == ("aaa1", MODEL)
    assert placed.endpoint.url.endswith("/v1")
    assert verdict(stage, placed) is Verdict.ALIVE
    assert operations(stage) == ["list", "models", "chat"]


def test_a_model_may_be_mapped_to_its_instance(timed: SimulatorServer) -> None:
    stage = stage_of(timed, kind("attach", "stop", instances={MODEL: "aaa1"}), instances=[SEED])
    assert stage.open().handle == "aaa1"


def test_an_instance_that_serves_another_model_is_refused(timed: SimulatorServer) -> None:
    stage = stage_of(timed, kind("attach", "stop", instances={"qwen-2": "aaa1"}), instances=[SEED])
    with pytest.raises(ModelMissing, match="does not list"):
        stage.open(model="qwen-2")
    assert live(stage) == ["aaa1"]


def test_a_stopped_instance_cannot_be_attached(timed: SimulatorServer) -> None:
    stage = stage_of(timed, ATTACH, instances=[{**SEED, "running": False}])
    with pytest.raises(Misconfigured, match="aaa1 is DISABLED"):
        stage.open(model="aaa1")


def test_a_missing_instance_is_a_missing_model(timed: SimulatorServer) -> None:
    with pytest.raises(ModelMissing, match="no instance bbb2"):
        stage_of(timed, ATTACH, instances=[SEED]).open(model="bbb2")


def test_which_instance_a_model_means_is_reported_before_any_open(timed: SimulatorServer) -> None:
    stage = stage_of(timed, ATTACH, instances=[SEED, {**SEED, "id": "bbb2", "running": False}])
    assert events_of(stage, "aaa1") == "aaa1 is ACTIVE"
    with pytest.raises(Misconfigured, match="bbb2 is DISABLED: start it"):
        events_of(stage, "bbb2")
    with pytest.raises(ModelMissing, match="no instance ccc3"):
        events_of(stage, "ccc3")
    assert operations(stage) == ["list"] * 3


def test_what_is_started_or_created_by_opens_needs_not_run_yet(timed: SimulatorServer) -> None:
    stage = stage_of(timed, START, instances=[{**SEED, "running": False}])
    assert events_of(stage, "aaa1") == "aaa1 is DISABLED"
    with pytest.raises(CannotAsk, match="only an open could show it"):
        events_of(stage_of(timed, CREATE), MODEL)


def test_attaching_to_what_is_not_ready_changes_nothing_and_is_tried_again(timed: SimulatorServer) -> None:
    stage = stage_of(timed, ATTACH, instances=[SEED], address_after=60)
    with pytest.raises(NotSent, match="cannot be used yet"):
        stage.play(lambda driver: driver.open(stage.order(model="aaa1")), **SHORT)
    assert set(operations(stage)) == {"list"}
    assert isinstance(stage.resolve(model="aaa1", close=True), NotPlaced)
    assert live(stage) == ["aaa1"]


def test_a_stop_is_proven_by_the_list(timed: SimulatorServer, clock: HandClock) -> None:
    stage = stage_of(timed, ATTACH, instances=[SEED], stop_lag=30)
    placed = stage.open(model="aaa1")
    with pytest.raises(NotClosed, match="aaa1 is ACTIVE"):
        close(stage, placed)
    clock.advance(31)
    assert close(stage, placed) == "aaa1 is DISABLED"
    assert life(stage, placed) is Life.STOPPED
    assert stage.server.report().closes == 1


def test_a_shared_instance_is_left_running(timed: SimulatorServer) -> None:
    stage = stage_of(timed, kind("attach", "leave"), instances=[SEED])
    first, second = stage.open(model="aaa1"), stage.open(model="aaa1", placement_id="p-2")
    assert {first.handle, second.handle} == {"aaa1/p-1", "aaa1/p-2"}
    assert "left running" in close(stage, first)
    assert verdict(stage, second) is Verdict.ALIVE
    assert life(stage, second) is Life.RUNNING
    assert not stage.card.lifecycle.managed
    assert not stage.card.status.can_list


@pytest.mark.parametrize("on_open", ["start", "create"])
def test_what_is_started_here_is_never_left_running(on_open: str) -> None:
    options = {"control_url": "http://c", "on_open": on_open, "on_close": "leave"}
    [fault] = registry.option_faults("sesterce", options)
    assert fault.loc == ("on_close",)
    assert fault.message.startswith("leave is for shared instances")


def test_the_control_host_has_no_default() -> None:
    assert [str(fault) for fault in registry.option_faults("sesterce", {})] == ["control_url: is missing"]
    with pytest.raises(ValidationError):
        registry.card("sesterce", {"control_url": "c"})


# start


def test_a_stopped_instance_is_started_and_stopped_again(timed: SimulatorServer) -> None:
    stage = stage_of(timed, START, instances=[{**SEED, "running": False}])
    for _ in range(2):
        placed = stage.open(model="aaa1")
        assert placed.handle == "aaa1"
        assert verdict(stage, placed) is Verdict.ALIVE
        close(stage, placed)
    report = stage.server.report()
    assert (report.opens, report.closes, report.open_now, report.pings_after_close) == (2, 2, 0, 0)


def test_an_instance_that_runs_already_belongs_to_somebody(timed: SimulatorServer) -> None:
    stage = stage_of(timed, START, instances=[SEED])
    with pytest.raises(ProviderFull, match="another session may use it"):
        stage.open(model="aaa1")
    taken = stage.play(lambda driver: driver.open(stage.order(model="aaa1")), start_takes_running=True)
    assert taken.handle == "aaa1"
    assert stage.calls("start") == []


@pytest.mark.parametrize("fault", ["cut_after_effect", "error_after_effect", "hang"])
def test_a_lost_start_is_found_running_or_not(timed: SimulatorServer, fault: str) -> None:
    stage = stage_of(timed, START, instances=[{**SEED, "running": False}])
    stage.fault(fault, operation="start", times=1)
    with pytest.raises(OutcomeUnknown):
        stage.play(lambda driver: driver.open(stage.order(model="aaa1")), **SHORT)
    found = stage.resolve(model="aaa1")
    assert isinstance(found, NotPlaced if fault == "hang" else Placed)
    assert isinstance(stage.resolve(model="aaa1", close=True), NotPlaced)
    assert live(stage) == []


def test_what_another_open_may_have_started_is_not_stopped(timed: SimulatorServer) -> None:
    stage = stage_of(timed, START, instances=[SEED])
    with pytest.raises(OutcomeUnknown, match="or another's may have started it"):
        stage.resolve(model="aaa1", close=True, rivals_sent_at=(datetime.now(UTC),))
    assert live(stage) == ["aaa1"]


@pytest.mark.parametrize("under", [ATTACH, kind("start", "stop", start_takes_running=True)])
@pytest.mark.parametrize("handle", ["aaa1", "aaa1/p-2"])
def test_what_another_placement_has_is_full_and_never_ended(
    timed: SimulatorServer, under: PlatformUnderTest, handle: str
) -> None:
    """Where it was shared before, its handle ended in the placement."""
    stage = stage_of(timed, under, instances=[SEED])
    for ask in (stage.open, stage.resolve):
        with pytest.raises(ProviderFull, match="another session's"):
            ask(model="aaa1", taken_handles=frozenset({handle}))
    assert isinstance(stage.resolve(model="aaa1", close=True, taken_handles=frozenset({handle})), NotPlaced)
    assert live(stage) == ["aaa1"]
