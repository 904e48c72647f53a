"""Peculiarities of OpenAI-compatible servers."""

from typing import Any

import pytest

from orchestrator.providers import registry
from orchestrator.providers.port.driver import Auth, NotPlaced, Target
from orchestrator.providers.port.errors import CredentialRefused, ModelMissing, NotSent
from orchestrator.rules.values import Verdict
from orchestrator.simulator import SimulatorServer
from tests.drivers import platform_of
from tests.providers.stage import Stage, secret, stage_of

PLATFORM = platform_of("openai")


@pytest.mark.parametrize("auth", ["bearer", "x-api-key", "both", "none"])
def test_the_secret_goes_where_the_server_wants_it(server: SimulatorServer, auth: str) -> None:
    stage = stage_of(server, PLATFORM, auth=auth)
    placed = stage.play(lambda driver: driver.open(stage.order()), auth=auth)
    assert placed.endpoint.auth == auth
    assert placed.endpoint.secret_ref == (None if auth == "none" else "env:KEY_1")
    answer = stage.play(lambda driver: driver.probe(stage.target(placed)), auth=auth)
    assert answer.verdict is Verdict.ALIVE


def test_a_way_to_show_the_secret_that_no_such_server_has_is_refused() -> None:
    [fault] = registry.option_faults("openai", {"auth": "basic"})
    assert fault.loc == ("auth",)
    assert "bearer" in fault.message


def test_a_secret_in_the_wrong_place_is_refused(server: SimulatorServer) -> None:
    stage = stage_of(server, PLATFORM, auth="x-api-key")
    with pytest.raises(CredentialRefused):
        stage.open()


def test_without_a_credential_none_is_asked_of_the_user(server: SimulatorServer) -> None:
    stage = stage_of(server, PLATFORM, auth="none")
    placed = stage.open(secret=None)
    assert (placed.endpoint.auth, placed.endpoint.secret_ref) == (Auth.NONE, None)


@pytest.mark.parametrize("status", [404, 405, 501])
def test_a_server_without_a_list_is_taken_at_its_word(server: SimulatorServer, status: int) -> None:
    stage = stage_of(server, PLATFORM)
    stage.fault("status", operation="models", status=status)
    assert stage.open(model="unlisted").endpoint.model == "unlisted"


def test_the_list_is_not_read_where_the_operator_says_so(server: SimulatorServer) -> None:
    stage = stage_of(server, PLATFORM)
    placed = stage.play(lambda driver: driver.open(stage.order(model="unlisted")), check_models=False)
    assert placed.handle == "p-1"
    assert stage.calls("models") == []


@pytest.mark.parametrize(
    ("fault", "params"),
    [
        ("loading", {}),
        ("error_before", {}),
        ("html", {}),
        ("status", {"status": 408}),
        ("hang", {}),
    ],
)
def test_since_reading_creates_nothing_its_failures_may_be_sent_again(
    server: SimulatorServer, fault: str, params: dict[str, Any]
) -> None:
    stage = stage_of(server, PLATFORM)
    stage.fault(fault, operation="models", **params)
    with pytest.raises(NotSent):
        stage.play(lambda driver: driver.open(stage.order()), read_timeout_seconds=0.3)


def test_every_placement_has_a_handle_of_its_own(server: SimulatorServer) -> None:
    stage = stage_of(server, PLATFORM)
    assert stage.open(placement_id="a").handle != stage.open(placement_id="b").handle


def test_resolving_an_open_looks_again_and_closing_it_does_not(server: SimulatorServer) -> None:
    stage = stage_of(server, PLATFORM)
    with pytest.raises(ModelMissing):
        stage.resolve(model="unlisted")
    stage.server.clear_log()
    assert isinstance(stage.resolve(close=True), NotPlaced)
    assert stage.calls("models") == []


def test_without_an_endpoint_the_configured_one_is_pinged(server: SimulatorServer) -> None:
    stage: Stage = stage_of(server, PLATFORM)
    target: Target = stage.target(stage.open(), endpoint=None, secret=secret())
    assert stage.play(lambda driver: driver.probe(target)).verdict is Verdict.ALIVE
