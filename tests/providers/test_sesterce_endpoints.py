"""The description of a Sesterce instance, and how its own endpoint is pinged."""

from collections.abc import Callable
from decimal import Decimal

import pytest

from orchestrator.providers.port.driver import Auth, Life
from orchestrator.providers.port.errors import Misconfigured
from orchestrator.rules.values import ModelType, Verdict
from orchestrator.simulator import SimulatorServer
from tests.drivers import MODEL
from tests.providers.instances import CREATE, SEED, close, kind, life, operations, verdict
from tests.providers.stage import EAR, KEY, secret, stage_of
from tests.simulator.conftest import HandClock

# statuses


@pytest.mark.parametrize("spelling", [str.upper, str.lower, str.title])
@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("NEW", Life.STARTING),
        ("DEPLOYING", Life.STARTING),
        ("PENDING", Life.STARTING),
        ("ACTIVE", Life.RUNNING),
        ("PARTIALLYDEPLOYED", Life.DEGRADED),
        ("DISABLED", Life.STOPPED),
        ("ERROR", Life.FAILED),
        ("FAILED", Life.FAILED),
        ("DELETING", Life.GONE),
        ("DELETED", Life.GONE),
        ("RENAMED", Life.UNKNOWN),
    ],
)
def test_statuses_are_compared_without_case(
    server: SimulatorServer, status: str, spelling: Callable[[str], str], expected: Life
) -> None:
    stage = stage_of(server, CREATE)
    placed = stage.open()
    body = [{"_id": placed.handle, "status": spelling(status), "hourlyPrice": 2.25}]
    stage.fault("status", operation="list", status=200, body=body)
    answer = stage.play(lambda driver: driver.status(stage.target(placed)))
    assert (answer.life, answer.price_per_hour) == (expected, Decimal("2.25"))


def test_a_sleeping_instance_is_not_woken_by_us(timed: SimulatorServer, clock: HandClock) -> None:
    stage = stage_of(timed, kind("attach", "stop", pending_means="asleep"), instances=[SEED], sleeps_after=60)
    placed = stage.open(model="aaa1")
    clock.advance(61)
    assert life(stage, placed) is Life.ASLEEP
    stage.server.clear_log()
    with pytest.raises(Misconfigured, match=r"served_as\.aaa1"):
        stage.open(model="aaa1")
    again = stage.play(lambda driver: driver.open(stage.order(model="aaa1")), served_as={"aaa1": MODEL})
    assert again.endpoint.model == MODEL
    assert set(operations(stage)) == {"list"}
    assert life(stage, placed) is Life.ASLEEP
    assert verdict(stage, again) is Verdict.ALIVE
    assert life(stage, placed) is Life.RUNNING


# endpoints


@pytest.mark.parametrize("auth", ["bearer", "x-api-key"])
def test_the_endpoint_wants_its_secret_its_own_way(timed: SimulatorServer, auth: str) -> None:
    stage = stage_of(timed, kind("attach", "stop", endpoint_auth=auth), instances=[SEED], endpoint_auth=auth)
    placed = stage.open(model="aaa1")
    assert placed.endpoint.auth is Auth(auth)
    assert verdict(stage, placed) is Verdict.ALIVE


def test_an_endpoint_may_have_a_secret_of_its_own(timed: SimulatorServer) -> None:
    platform = kind("attach", "stop", endpoint_secret_ref="env:ENDPOINT", served_as={"aaa1": MODEL})
    stage = stage_of(timed, platform, instances=[SEED], endpoint_secret="sk-planted-endpoint")
    placed = stage.open(model="aaa1")
    assert placed.endpoint.secret_ref == "env:ENDPOINT"
    assert stage.calls("models") == []
    target = stage.target(placed, secret=secret("sk-planted-endpoint"))
    assert stage.play(lambda driver: driver.probe(target)).verdict is Verdict.ALIVE
    assert KEY not in {call.key for call in stage.calls("chat")}


@pytest.mark.parametrize(
    ("means", "expected"), [("credentials", Verdict.CREDENTIALS), ("gone", Verdict.GONE)]
)
def test_operators_say_what_a_401_of_an_endpoint_means(
    timed: SimulatorServer, means: str, expected: Verdict
) -> None:
    stage = stage_of(timed, CREATE)
    placed = stage.open()
    stage.fault("unauthorized", operation="chat")
    assert verdict(stage, placed, unauthorized_means=means) is expected


def test_an_ended_instance_is_gone_at_its_endpoint(timed: SimulatorServer) -> None:
    stage = stage_of(timed, CREATE)
    placed = stage.open()
    stage.server.end_session(placed.handle, "dead")
    assert (life(stage, placed), verdict(stage, placed)) == (Life.FAILED, Verdict.GONE)


def test_speech_is_pinged_by_silence(timed: SimulatorServer) -> None:
    stage = stage_of(timed, CREATE)
    placed = stage.open(model=EAR, model_type=ModelType.ASR)
    target = stage.target(placed, model=EAR, model_type=ModelType.ASR)
    assert stage.play(lambda driver: driver.probe(target)).verdict is Verdict.ALIVE
    assert len(stage.calls("transcribe")) == 1


def test_without_an_endpoint_there_is_nothing_to_ping(timed: SimulatorServer) -> None:
    stage = stage_of(timed, CREATE)
    target = stage.target(stage.open(), endpoint=None)
    assert stage.play(lambda driver: driver.probe(target)).verdict is Verdict.MISCONFIGURED


def test_an_address_may_lack_its_scheme(timed: SimulatorServer) -> None:
    stage = stage_of(timed, CREATE, bare_addresses=True)
    stage.fault("loading", operation="models")
    assert stage.play(lambda driver: driver.open(stage.order())).endpoint.url.startswith("https://")


def test_a_deletion_under_way_is_gone(timed: SimulatorServer, clock: HandClock) -> None:
    stage = stage_of(timed, CREATE, delete_lag=30)
    placed = stage.open()
    assert close(stage, placed) == f"{placed.handle} is DELETING"
    clock.advance(31)
    assert close(stage, placed) == f"{placed.handle} is not in the list of instances"
