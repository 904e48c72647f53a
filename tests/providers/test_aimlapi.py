"""Peculiarities of AIMLAPI: a list without a key, a check of the key, costs, a balance."""

from decimal import Decimal
from typing import Any

import pytest

from orchestrator.providers.port.abilities import HasBalance
from orchestrator.providers.port.driver import Balance, Driver, NotPlaced, Probe
from orchestrator.providers.port.errors import (
    CredentialRefused,
    Misconfigured,
    ModelMissing,
    NotSent,
    OutOfBalance,
    Throttled,
)
from orchestrator.rules.values import ModelType, Verdict
from orchestrator.simulator import SimulatorServer
from tests.drivers import MODEL, platform_of
from tests.providers.stage import EAR, KEY, Stage, secret, stage_of

PLATFORM = platform_of("aimlapi")


def probe(stage: Stage, **changes: Any) -> Probe:
    placed = stage.open()
    return stage.play(lambda driver: driver.probe(stage.target(placed, **changes)))


def balance(stage: Stage, **options: Any) -> Balance:
    async def ask(driver: Driver) -> Balance:
        assert isinstance(driver, HasBalance)
        return await driver.balance(secret())

    return stage.play(ask, **options)


def test_an_open_looks_for_the_model_and_at_the_key(server: SimulatorServer) -> None:
    stage = stage_of(server, PLATFORM)
    stage.open()
    assert [(call.operation, call.key) for call in server.log()] == [("models", None), ("key", KEY)]


def test_a_model_may_be_named_by_an_alias(server: SimulatorServer) -> None:
    stage = stage_of(server, PLATFORM, aliases={MODEL: ["meta/llama"]})
    placed = stage.open(model="meta/llama")
    assert placed.endpoint.model == "meta/llama"
    answer = stage.play(lambda driver: driver.probe(stage.target(placed, model="meta/llama")))
    assert answer.verdict is Verdict.ALIVE
    with pytest.raises(ModelMissing):
        stage.open(model="meta/llama-9")


@pytest.mark.parametrize(
    ("account", "expected"),
    [
        pytest.param({"disabled_keys": [KEY]}, CredentialRefused, id="disabled"),
        pytest.param({"limits": {KEY: 5}, "spent": {KEY: 5}}, OutOfBalance, id="limit spent"),
    ],
)
def test_a_key_that_cannot_pay_is_refused_before_the_first_ping(
    server: SimulatorServer, account: dict[str, Any], expected: type[Exception]
) -> None:
    stage = stage_of(server, PLATFORM, **account)
    with pytest.raises(expected):
        stage.open()
    assert stage.calls("chat") == []


@pytest.mark.parametrize(
    "key",
    [
        {"data": {"disabled": False, "limit": None}},
        {"disabled": False},
        {"data": {"limit": {"threshold": 5, "retention": "fortnight"}, "monthly_usage": 7}},
        {"data": {"limit": {"threshold": "much", "retention": "month"}, "monthly_usage": 7}},
        {"data": {"limit": {"threshold": 5, "retention": "month"}, "monthly_usage": 4.99}},
    ],
)
def test_a_key_is_refused_only_for_what_its_answer_says(server: SimulatorServer, key: dict[str, Any]) -> None:
    stage = stage_of(server, PLATFORM)
    stage.fault("status", operation="key", status=200, body=key)
    assert stage.open().handle == "p-1"


def test_checks_can_be_left_to_the_first_ping(server: SimulatorServer) -> None:
    stage = stage_of(server, PLATFORM)
    placed = stage.play(
        lambda driver: driver.open(stage.order(model="unlisted")), check_models=False, check_key=False
    )
    assert server.log() == []
    answer = stage.play(lambda driver: driver.probe(stage.target(placed)))
    assert answer.verdict is Verdict.GONE


def test_without_a_credential_nothing_is_asked(server: SimulatorServer) -> None:
    stage = stage_of(server, PLATFORM)
    with pytest.raises(Misconfigured):
        stage.open(secret=None)
    assert server.log() == []


def test_a_ping_knows_its_cost(server: SimulatorServer) -> None:
    assert probe(stage_of(server, PLATFORM, price="0.0000042")).cost_usd == "0.0000042"


@pytest.mark.parametrize("price", ["a lot", "-1", "NaN", "inf", "1001", "1e40"])
def test_a_cost_that_is_no_amount_is_not_kept(server: SimulatorServer, price: str) -> None:
    assert probe(stage_of(server, PLATFORM, price=price)).cost_usd is None


@pytest.mark.parametrize("status_as_text", [False, True])
def test_an_empty_account_is_out_of_balance(server: SimulatorServer, *, status_as_text: bool) -> None:
    stage = stage_of(server, PLATFORM, balance=0, status_as_text=status_as_text)
    answer = probe(stage)
    assert (answer.verdict, answer.detail) == (
        Verdict.OUT_OF_BALANCE,
        "HTTP 403 You've run out of credits. Please top up your balance.",
    )


def test_a_disabled_key_is_a_matter_of_credentials(server: SimulatorServer) -> None:
    stage = stage_of(server, PLATFORM)
    placed = stage.open()
    stage_of(server, PLATFORM, disabled_keys=[KEY])
    answer = stage.play(lambda driver: driver.probe(stage.target(placed)))
    assert answer.verdict is Verdict.CREDENTIALS


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (400, {"message": "Body validation error!", "statusCode": "400"}, Verdict.MISCONFIGURED),
        (500, {"message": "400 status code (no body)", "statusCode": 500}, Verdict.MISCONFIGURED),
        (500, {"message": "429 Too many requests", "statusCode": "500"}, Verdict.THROTTLED),
        (500, {"message": "Internal server error", "statusCode": "500"}, Verdict.TRANSIENT),
        (
            500,
            {"message": "400 Could not finish the message because max_tokens was reached"},
            Verdict.ALIVE,
        ),
    ],
)
def test_error_bodies_say_what_happened_below(
    server: SimulatorServer, status: int, body: dict[str, Any], expected: Verdict
) -> None:
    stage = stage_of(server, PLATFORM)
    stage.fault("status", operation="chat", status=status, body=body)
    assert probe(stage).verdict is expected


def test_an_upstreams_400_inside_a_500_is_no_death(server: SimulatorServer) -> None:
    stage = stage_of(server, PLATFORM, wraps_upstream_errors=True)
    placed = stage.open(model=EAR)
    answer = stage.play(lambda driver: driver.probe(stage.target(placed)))
    assert answer.verdict is Verdict.MISCONFIGURED


def test_the_ping_has_no_system_message(server: SimulatorServer) -> None:
    assert probe(stage_of(server, PLATFORM, no_system=[MODEL])).verdict is Verdict.ALIVE


def test_a_speech_model_is_pinged_by_silence(server: SimulatorServer) -> None:
    stage = stage_of(server, PLATFORM)
    placed = stage.open(model=EAR, model_type=ModelType.ASR)
    target = stage.target(placed, model=EAR, model_type=ModelType.ASR)
    answer = stage.play(lambda driver: driver.probe(target))
    assert (answer.verdict, answer.cost_usd) == (Verdict.ALIVE, "0.0000042")


# the balance


def test_the_balance_is_reported_exactly(server: SimulatorServer) -> None:
    stage = stage_of(server, PLATFORM, balance=12.34)
    assert balance(stage) == Balance(amount=Decimal("12.34"), currency="USD")
    assert [(call.path, call.key) for call in server.log()] == [("/v2/billing", KEY)]


def test_the_balance_may_be_asked_elsewhere(server: SimulatorServer) -> None:
    stage = stage_of(server, PLATFORM)
    with pytest.raises(Misconfigured):
        balance(stage, billing_url=f"{stage.url}/nowhere")


@pytest.mark.parametrize(
    ("fault", "params", "expected"),
    [
        ("unauthorized", {}, CredentialRefused),
        ("throttled", {}, Throttled),
        ("hang", {}, NotSent),
        ("html", {}, NotSent),
        ("invalid_json", {}, Misconfigured),
        ("status", {"status": 200, "body": {"current_balance": "plenty"}}, Misconfigured),
        ("status", {"status": 200, "body": {"current_balance": 1e30}}, Misconfigured),
    ],
)
def test_a_balance_that_is_not_reported_is_not_made_up(
    server: SimulatorServer, fault: str, params: dict[str, Any], expected: type[Exception]
) -> None:
    stage = stage_of(server, PLATFORM)
    stage.fault(fault, operation="billing", **params)
    with pytest.raises(expected):
        balance(stage, read_timeout_seconds=0.3)


def test_operators_say_which_balance_is_low(server: SimulatorServer) -> None:
    stage = stage_of(server, PLATFORM)

    async def threshold(driver: Driver) -> Decimal:
        assert isinstance(driver, HasBalance)
        return driver.low_balance_below

    assert stage.play(threshold) == Decimal(5)
    assert stage.play(threshold, low_balance_below="12.50") == Decimal("12.50")


def test_resolving_by_closing_asks_nothing(server: SimulatorServer) -> None:
    stage = stage_of(server, PLATFORM)
    assert isinstance(stage.resolve(close=True), NotPlaced)
    assert server.log() == []
