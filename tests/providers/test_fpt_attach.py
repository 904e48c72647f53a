"""Sessions that an operator started in a console: watched, never opened, ended by proof alone."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from orchestrator.providers.port.driver import Life, Placed
from orchestrator.providers.port.errors import (
    CredentialRefused,
    Misconfigured,
    ModelMissing,
    NotClosed,
    Refused,
)
from orchestrator.rules.values import Attach, Verdict
from orchestrator.simulator import SimulatorServer
from tests.drivers import MODEL, platform_of
from tests.providers.stage import Stage, secret, stage_of
from tests.waiting import free_port

PLATFORM = platform_of("fpt-attach")
PAST, FUTURE = (datetime.now(UTC) + timedelta(hours=hours) for hours in (-1, 1))


@pytest.fixture
def stage(server: SimulatorServer) -> Stage:
    return stage_of(server, PLATFORM, console_seconds=3600)


def attach(url: str, ends_at: datetime | None = None) -> Attach:
    return Attach(endpoint_url=url, secret_ref="env:FPT_TOKEN_1", model=MODEL, ends_at=ends_at)


def end(stage: Stage) -> None:
    for session in stage.server.open_sessions():
        stage.server.end_session(session.id, "dead")


@pytest.mark.parametrize("suffix", ["", "/", "/chat/completions", "/chat/completions/"])
def test_the_address_is_taken_as_the_console_shows_it(stage: Stage, suffix: str) -> None:
    placed = stage.open(attach=attach(stage.url + suffix, FUTURE))
    assert (placed.handle, placed.endpoint.url, placed.ends_at) == ("p-1", stage.url, FUTURE)
    assert placed.endpoint.secret_ref == "env:FPT_TOKEN_1"
    assert stage.play(lambda driver: driver.probe(stage.target(placed))).verdict is Verdict.ALIVE


@pytest.mark.parametrize("fault", ["throttled", "loading", "error_before", "cut_before_effect", "html"])
def test_what_may_become_alive_is_placed_at_once(stage: Stage, fault: str) -> None:
    stage.fault(fault)
    assert stage.open().handle == "p-1"
    assert len(stage.calls("chat")) == 1


def test_a_server_that_is_not_up_yet_is_placed(stage: Stage) -> None:
    assert stage.open(attach=attach(f"http://127.0.0.1:{free_port()}/v1")).handle == "p-1"


@pytest.mark.parametrize(
    ("fault", "expected"),
    [("gone", ModelMissing), ("unauthorized", CredentialRefused), ("redirect", Misconfigured)],
)
def test_what_cannot_become_alive_is_refused(stage: Stage, fault: str, expected: type[Refused]) -> None:
    params: dict[str, Any] = {"location": "http://elsewhere.invalid/"} if fault == "redirect" else {}
    stage.fault(fault, **params)
    with pytest.raises(expected):
        stage.open()


def test_what_should_have_ended_is_not_begun(stage: Stage) -> None:
    with pytest.raises(Refused, match="declared end has passed"):
        stage.open(attach=attach(stage.url, PAST))
    assert stage.calls("chat") == []


def test_without_an_endpoint_there_is_nothing_to_attach(stage: Stage) -> None:
    with pytest.raises(Misconfigured, match="attach"):
        stage.open(attach=None)


def test_a_wanted_stop_is_announced_until_there_is_proof(stage: Stage) -> None:
    placed = stage.open()
    with pytest.raises(NotClosed, match="the wanted stop was announced"):
        stage.play(lambda driver: driver.close(stage.target(placed)))
    end(stage)
    closed = stage.play(lambda driver: driver.close(stage.target(placed)))
    assert "says that it is gone" in closed.proof


def test_the_declared_end_is_proof_without_a_look(stage: Stage) -> None:
    target = stage.target(stage.open(), ends_at=PAST)
    stage.server.clear_log()
    assert "declared end" in stage.play(lambda driver: driver.close(target)).proof
    assert stage.play(lambda driver: driver.status(target)).life is Life.STOPPED
    assert stage.calls("chat") == []


@pytest.mark.parametrize(
    "fault", ["error_before", "cut_before_effect", "throttled", "loading", "unauthorized"]
)
def test_trouble_is_no_proof(stage: Stage, fault: str) -> None:
    placed = stage.open()
    stage.fault(fault)
    with pytest.raises(NotClosed):
        stage.play(lambda driver: driver.close(stage.target(placed)))


def test_a_look_can_be_forbidden(stage: Stage) -> None:
    placed = stage.open()
    end(stage)
    with pytest.raises(NotClosed):
        stage.play(lambda driver: driver.close(stage.target(placed)), probe_before_proof=False)


@pytest.mark.parametrize(("means", "verdict"), [("credentials", Verdict.CREDENTIALS), ("gone", Verdict.GONE)])
def test_what_a_refused_token_means_is_a_setting(
    server: SimulatorServer, means: str, verdict: Verdict
) -> None:
    stage = stage_of(server, PLATFORM, console_seconds=3600, ended_says="unauthorized")
    placed = stage.open()
    end(stage)
    probe = stage.play(lambda driver: driver.probe(stage.target(placed)), unauthorized_means=means)
    assert probe.verdict is verdict


@pytest.mark.parametrize(
    ("fault", "params", "verdict"),
    [
        ("out_of_balance", {"status": 403}, Verdict.OUT_OF_BALANCE),
        ("html", {"status": 403}, Verdict.MISCONFIGURED),
    ],
)
def test_not_every_refusal_means_gone(
    stage: Stage, fault: str, params: dict[str, Any], verdict: Verdict
) -> None:
    placed = stage.open()
    stage.fault(fault, **params)
    probe = stage.play(lambda driver: driver.probe(stage.target(placed)), unauthorized_means="gone")
    assert probe.verdict is verdict


def test_without_its_secret_no_end_is_believed(server: SimulatorServer) -> None:
    stage = stage_of(server, PLATFORM)
    placed = stage.open()
    with pytest.raises(NotClosed):
        stage.play(lambda driver: driver.close(stage.target(placed, secret=None)), unauthorized_means="gone")


def test_resolving_looks_again_and_a_close_adopts_it_first(stage: Stage) -> None:
    assert isinstance(stage.resolve(), Placed)
    stage.fault("gone")
    assert isinstance(stage.resolve(close=True), Placed)


def test_another_key_is_another_session(stage: Stage) -> None:
    stage.open()
    stage.open(secret=secret("sk-planted-second"))
    assert len(stage.server.open_sessions()) == 2
