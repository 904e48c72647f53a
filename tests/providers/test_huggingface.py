"""Hugging Face endpoints: created under a name of ours, waited for, found again, and closed only once they are gone."""

import uuid
from dataclasses import replace

import pytest

from orchestrator.providers import registry
from orchestrator.providers.drivers.huggingface.names import LONGEST, name_of, order_name
from orchestrator.providers.port.driver import Driver, Life, NotPlaced, Placed
from orchestrator.providers.port.errors import (
    CredentialRefused,
    Misconfigured,
    NotClosed,
    OutcomeUnknown,
    ProviderFull,
)
from orchestrator.rules.reconcile.installations import placement_id
from orchestrator.rules.values import Verdict
from orchestrator.simulator import SimulatorServer
from tests.drivers import MODEL, platform_of
from tests.drivers.huggingface import create_at_platform, name_there
from tests.providers.stage import KEY, Stage, secret, stage_of
from tests.simulator.conftest import HandClock

PLATFORM = platform_of("huggingface")
SHORT = {"open_timeout_seconds": 0.2}
OURS = placement_id("0123abcd", 0)


def life(stage: Stage, placed: Placed) -> Life:
    return stage.play(lambda driver: driver.status(stage.target(placed))).life


def verdict(stage: Stage, placed: Placed) -> Verdict:
    return stage.play(lambda driver: driver.probe(stage.target(placed))).verdict


def close(stage: Stage, placed: Placed) -> str:
    return stage.play(lambda driver: driver.close(stage.target(placed))).proof


# names


@pytest.mark.parametrize("name", [OURS, str(uuid.UUID(int=0)), str(uuid.UUID(int=2**128 - 1)), "p-9", "Ä.b"])
def test_a_name_fits_the_platform_and_is_read_again(name: str) -> None:
    there = name_of("orch-", name)
    assert len(there) <= LONGEST
    assert set(there) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert order_name("orch-", there) == name


def test_the_tests_name_a_placement_as_the_driver_does() -> None:
    assert name_there(OURS) == name_of("orch-", OURS)


@pytest.mark.parametrize(
    "there",
    ["mine", "orch-", "orch-mine", "orch-0", "orch-01", "orch-0mzxq1", "orch-" + "a" * 27, "orchestra"],
)
def test_a_name_that_we_could_not_have_given_is_foreign(there: str) -> None:
    assert order_name("orch-", there) is None


def test_a_name_that_does_not_fit_is_refused_before_anything_is_sent(server: SimulatorServer) -> None:
    stage = stage_of(server, PLATFORM)
    with pytest.raises(Misconfigured, match="does not fit"):
        stage.open(name="a name of a good many letters")
    assert stage.calls("create") == []


@pytest.mark.parametrize("prefix", ["", "orch", "O-", "much-", "orches-", "1-", "a_b-"])
def test_a_prefix_leaves_room_for_the_name(prefix: str) -> None:
    faults = registry.option_faults("huggingface", {**PLATFORM.options, "name_prefix": prefix})
    assert [fault.path for fault in faults] == ([] if prefix == "much-" else ["name_prefix"])


# open


def test_the_documented_address_is_the_default() -> None:
    assert not registry.driver_type("huggingface").needs_base_url
    options = registry.options_model("huggingface").model_validate({**PLATFORM.options, "base_url": ""})
    assert getattr(options, "endpoints_url") == "https://api.endpoints.huggingface.cloud/v2/endpoint"  # noqa: B009


def test_a_create_carries_the_hardware_the_replicas_and_the_model(server: SimulatorServer) -> None:
    stage = stage_of(server, PLATFORM)
    options = {
        "revisions": {MODEL: "11c5a3d"},
        "served_as": {MODEL: "tgi"},
        "scale_to_zero_minutes": 15,
        "image": {"custom": {"url": "vllm/vllm-openai"}},
        "max_nodes": 4,
    }
    placed = stage.play(lambda driver: driver.open(stage.order(nodes=2)), **options)
    (made,) = server.simulator.fleets["up"].values()
    assert made.written["compute"]["scaling"] == {"minReplica": 0, "maxReplica": 2, "scaleToZeroTimeout": 15}
    assert made.written["model"]["revision"] == "11c5a3d"
    assert made.written["model"]["image"] == {"custom": {"url": "vllm/vllm-openai"}}
    assert (placed.endpoint.model, placed.handle) == ("tgi", made.name)


def test_pings_wait_for_what_deploys(timed: SimulatorServer, clock: HandClock) -> None:
    stage = stage_of(timed, PLATFORM, deploy=[("pending", 5), ("initializing", 60), ("updating", 10)])
    placed = stage.open()
    seen = [(life(stage, placed), verdict(stage, placed))]
    for seconds in (10, 56, 10):
        clock.advance(seconds)
        seen.append((life(stage, placed), verdict(stage, placed)))
    assert seen == [
        (Life.STARTING, Verdict.LOADING),
        (Life.STARTING, Verdict.LOADING),
        (Life.DEGRADED, Verdict.ALIVE),
        (Life.RUNNING, Verdict.ALIVE),
    ]


def test_an_endpoint_without_an_address_in_time_is_unknown_and_adopted_later(
    timed: SimulatorServer, clock: HandClock
) -> None:
    stage = stage_of(timed, PLATFORM, url_after=100)
    with pytest.raises(OutcomeUnknown, match="without an address in time") as unknown:
        stage.play(lambda driver: driver.open(stage.order()), **SHORT)
    assert unknown.value.possible_orphans
    clock.advance(101)
    found = stage.resolve()
    assert isinstance(found, Placed)
    assert [one.id for one in timed.open_sessions()] == [found.handle]


def test_a_name_that_is_taken_is_our_own_earlier_create(server: SimulatorServer) -> None:
    stage = stage_of(server, PLATFORM)
    assert stage.open().handle == stage.open().handle
    assert [call.status for call in stage.calls("create")] == [200, 409]
    assert len(server.open_sessions()) == 1


def test_a_deployment_that_fails_is_deleted_and_only_then_refused(server: SimulatorServer) -> None:
    stage = stage_of(server, PLATFORM, fails={MODEL: "CUDA out of memory"})
    with pytest.raises(ProviderFull, match=r"failed \(CUDA out of memory\); there is no endpoint"):
        stage.open()
    assert len(stage.calls("close")) == 1
    stage.fault("close_fails", operation="close")
    with pytest.raises(OutcomeUnknown):
        stage.open(name="p-2")


@pytest.mark.parametrize(
    ("upstream", "changes", "expected"),
    [
        pytest.param({"quota": 0}, {}, ProviderFull, id="the quota of an instance type is used up"),
        pytest.param({}, {"instance_type": "abacus"}, Misconfigured, id="hardware that is not there"),
        pytest.param({}, {"namespace": "another"}, CredentialRefused, id="a namespace of others"),
    ],
)
def test_a_refusal_says_what_to_do(
    server: SimulatorServer,
    upstream: dict[str, object],
    changes: dict[str, object],
    expected: type[Exception],
) -> None:
    stage = stage_of(server, replace(PLATFORM, options={**PLATFORM.options, **changes}), **upstream)
    with pytest.raises(expected):
        stage.open()
    assert server.open_sessions() == []


def test_a_paid_account_without_credit_is_no_full_platform(server: SimulatorServer) -> None:
    stage = stage_of(server, PLATFORM)
    stage.fault("forbidden", operation="create", text="Not enough credit: add a payment method")
    with pytest.raises(Exception, match="Not enough credit") as refused:
        stage.open()
    assert not isinstance(refused.value, ProviderFull)


# what is there


def test_a_404_alone_does_not_prove_that_an_endpoint_is_gone(server: SimulatorServer) -> None:
    stage = stage_of(server, PLATFORM)
    placed = stage.open()
    stage.fault("status", operation="status", status=404, body={"error": "Not Found"})
    assert life(stage, placed) is Life.RUNNING
    stage.fault("error_before", operation="close")
    with pytest.raises(NotClosed):
        close(stage, placed)
    assert isinstance(stage.resolve(), Placed)


def test_what_is_deleted_and_still_shown_is_not_closed(timed: SimulatorServer, clock: HandClock) -> None:
    stage = stage_of(timed, PLATFORM, delete_lag=20)
    placed = stage.open()
    with pytest.raises(NotClosed, match="is running"):
        close(stage, placed)
    clock.advance(21)
    assert close(stage, placed) == f"there is no endpoint {placed.handle}"


def test_what_is_new_may_be_missing_from_the_list_and_is_found_by_name(
    timed: SimulatorServer, clock: HandClock
) -> None:
    stage = stage_of(timed, PLATFORM, list_lag=30)
    placed = stage.open()
    assert stage.play(lambda driver: driver.list(secret())) == []
    assert isinstance(stage.resolve(), Placed)
    clock.advance(31)
    (listed,) = stage.play(lambda driver: driver.list(secret()))
    assert listed.handle == placed.handle


def test_the_endpoints_of_people_are_foreign(server: SimulatorServer) -> None:
    stage = stage_of(server, PLATFORM)
    create_at_platform(server.simulator, "up", KEY, "playground")
    (listed,) = stage.play(lambda driver: driver.list(secret()))
    assert (listed.handle, listed.name, listed.foreign) == ("playground", None, True)


def test_an_endpoint_that_somebody_paused_is_gone_to_a_ping_and_deleted_by_its_close(
    server: SimulatorServer,
) -> None:
    stage = stage_of(server, PLATFORM)
    placed = stage.open()
    server.end_session(placed.handle, "expired")
    assert (life(stage, placed), verdict(stage, placed)) == (Life.STOPPED, Verdict.GONE)
    assert stage.play(lambda driver: driver.list(secret())) == []
    assert close(stage, placed)
    assert server.simulator.fleets["up"][placed.handle].deleted_at is not None


def test_a_paused_endpoint_is_not_adopted(server: SimulatorServer) -> None:
    stage = stage_of(server, PLATFORM)
    placed = stage.open()
    server.end_session(placed.handle, "expired")
    found = stage.resolve()
    assert isinstance(found, NotPlaced)
    assert found.ended_handle == placed.handle


def test_an_endpoint_at_zero_sleeps_and_a_request_wakes_it(timed: SimulatorServer, clock: HandClock) -> None:
    sleepy = replace(PLATFORM, options={**PLATFORM.options, "scale_to_zero_minutes": 1})
    stage = stage_of(timed, sleepy)
    assert sleepy.card.status.sleeps
    assert not PLATFORM.card.status.sleeps
    placed = stage.open()
    clock.advance(61)
    assert life(stage, placed) is Life.ASLEEP
    assert verdict(stage, placed) is Verdict.LOADING
    assert (life(stage, placed), verdict(stage, placed)) == (Life.RUNNING, Verdict.ALIVE)


def test_status_is_asked_by_name_where_no_handle_is_known(server: SimulatorServer) -> None:
    stage = stage_of(server, PLATFORM)
    placed = stage.open(name="p-7")

    async def asked(driver: Driver) -> Life:
        return (await driver.status(stage.target(placed, handle=None, name="p-7"))).life

    assert stage.play(asked) is Life.RUNNING


def test_a_name_that_is_taken_by_a_paused_endpoint_is_freed_and_the_open_refused(
    server: SimulatorServer,
) -> None:
    stage = stage_of(server, PLATFORM)
    server.end_session(stage.open().handle, "expired")
    with pytest.raises(ProviderFull, match="is paused"):
        stage.open()
    assert isinstance(stage.open(), Placed)
