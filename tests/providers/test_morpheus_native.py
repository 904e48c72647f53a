"""The Morpheus gateway's own ping, where an operator configures it: it closes faulty sessions."""

import time
from typing import Any

import pytest

from orchestrator.providers.drivers.morpheus.driver import MorpheusDriver
from orchestrator.providers.port.driver import Closed, Driver
from orchestrator.providers.port.errors import NotClosed
from orchestrator.rules.values import Verdict
from orchestrator.simulator import SimulatorServer
from tests.drivers import platform_of
from tests.providers.stage import Stage, stage_of


@pytest.fixture
def stage(server: SimulatorServer) -> Stage:
    return stage_of(server, platform_of("morpheus"))


def test_the_last_word_is_asked_only_where_configured(stage: Stage) -> None:
    placed = stage.open()
    stage.fault("error_before", operation="close")
    with pytest.raises(NotClosed):
        stage.play(lambda driver: driver.close(stage.target(placed)))
    assert stage.calls("ping_native") == []
    asked = {"confirm_dead_with_pingsession": True}
    with pytest.raises(NotClosed):
        stage.play(lambda driver: driver.close(stage.target(placed)), **asked)
    assert stage.calls("ping_native") == [], "only of the dead: it kills who is healthy and busy"
    stage.server.end_session(placed.handle, "forgotten")
    stage.fault("error_before", operation="chat")
    closed = stage.play(lambda driver: driver.close(stage.target(placed, judged_dead=True)), **asked)
    assert closed.nothing_was_open


def test_what_its_errors_mean_is_the_operators_to_say(stage: Stage) -> None:
    placed = stage.open()
    stage.fault("status", operation="ping_native", status=418, body={"detail": "teapot"})
    means = [{"statuses": [418], "pattern": "teapot", "means": "loading"}]
    probe = stage.play(lambda driver: driver.probe(stage.target(placed)), ping="native", errors=means)
    assert probe.verdict is Verdict.LOADING


def test_a_close_that_only_the_native_ping_calls_done_is_unproven(stage: Stage) -> None:
    placed = stage.open()
    for operation in ("close", "ping_native"):
        stage.fault("close_fails", operation=operation)
    with pytest.raises(NotClosed):
        stage.play(
            lambda driver: driver.close(stage.target(placed, judged_dead=True)),
            confirm_dead_with_pingsession=True,
        )


@pytest.mark.parametrize(
    ("fault", "params", "expected"),
    [
        (None, {}, Verdict.ALIVE),
        ("probe_fails", {}, Verdict.GONE),
        ("gone", {}, Verdict.GONE),
        ("wrong_id", {}, Verdict.GONE),
        ("unauthorized", {}, Verdict.CREDENTIALS),
        ("hang", {}, Verdict.TRANSIENT),
        ("invalid_json", {"effect": False}, Verdict.TRANSIENT),
        ("status", {"status": 404}, Verdict.ALIVE),
    ],
)
def test_the_native_ping(stage: Stage, fault: str | None, params: dict[str, Any], expected: Verdict) -> None:
    placed = stage.open()
    if fault:
        stage.fault(fault, operation="ping_native", **params)
    target = stage.target(placed, timeout_seconds=0.5)
    answer = stage.play(lambda driver: driver.probe(target), ping="native")
    assert answer.verdict is expected


@pytest.mark.parametrize(
    ("chat", "expected"),
    [(None, Verdict.ALIVE), ("gone", Verdict.GONE), ("hang", Verdict.TRANSIENT)],
)
def test_where_the_native_ping_is_retired_chat_tells_who_lives(
    stage: Stage, chat: str | None, expected: Verdict
) -> None:
    placed = stage.open()
    stage.fault("status", operation="ping_native", status=404, body={"detail": "Not Found"})
    if chat:
        stage.fault(chat, operation="chat")
    target = stage.target(placed, timeout_seconds=0.5)
    probe = stage.play(lambda driver: driver.probe(target), ping="native")
    assert (probe.verdict, "retired here" in str(probe.key_refused)) == (expected, True)


def test_a_native_ping_that_is_too_late_is_not_begun(stage: Stage) -> None:
    target = stage.target(stage.open(), begin_by=time.monotonic() - 1)
    assert stage.play(lambda driver: driver.probe(target), ping="native").not_begun
    assert stage.calls("ping_native") == []


def test_the_last_word_is_not_asked_for_after_the_closes_time(stage: Stage) -> None:
    """The native ping can close, and the key may have its next user by then."""
    placed = stage.open()

    async def too_late(driver: Driver) -> Closed:
        assert isinstance(driver, MorpheusDriver)
        return await driver._seen_gone(
            stage.target(placed, judged_dead=True), NotClosed("still open"), time.monotonic()
        )

    with pytest.raises(NotClosed, match="still open"):
        stage.play(too_late, confirm_dead_with_pingsession=True)
    assert stage.calls("ping_native") == []
