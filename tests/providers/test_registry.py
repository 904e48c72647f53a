"""Drivers by name."""

import asyncio
from collections.abc import Iterator

import pytest
from pydantic import ValidationError

from orchestrator.providers import registry
from orchestrator.providers.drivers.morpheus.driver import MorpheusDriver
from orchestrator.providers.http.client import HttpClient
from orchestrator.providers.shared.patterns import WORDS

BASE = {"base_url": "https://api.example/v1"}


def test_a_driver_is_built_by_its_name() -> None:
    async def story() -> None:
        http = HttpClient()
        driver = registry.build("morpheus-eu", "morpheus", BASE, http)
        assert isinstance(driver, MorpheusDriver)
        assert driver.name == "morpheus-eu"
        await driver.aclose()
        await http.aclose()

    asyncio.run(story())


def test_an_unknown_driver_error_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"unknown driver 'opnai'.*morpheus.*openai"):
        registry.options_model("opnai")


@pytest.mark.parametrize("driver", sorted(registry.DRIVERS))
@pytest.mark.parametrize(
    "wrong",
    [{}, {"base_url": "ftp://x"}, {**BASE, "unknown": 1}, {**BASE, "open_timeout_seconds": 0}],
)
def test_wrong_options_are_refused(driver: str, wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        registry.card(driver, wrong)


def test_cards_are_known_without_building() -> None:
    assert not registry.card("openai", BASE).lifecycle.managed
    gateway = registry.card("morpheus", BASE)
    assert gateway.identity.exclusive_credentials
    assert gateway.identity.serialised
    assert gateway.lifecycle.repeats_open
    assert not gateway.lifecycle.closes_by_id
    assert (gateway.lifecycle.shortest_duration_seconds, gateway.lifecycle.resolve_after_seconds) == (
        300,
        900,
    )
    assert registry.card("morpheus", {**BASE, "ping": "native"}).lifecycle.ping_can_close


@pytest.mark.parametrize(
    ("options", "faults"),
    [
        ({}, []),
        ({"ping": "native", "close_attempts": 5}, []),
        ({"png": "native"}, ["png: unknown key"]),
        ({"ping": "sonar"}, ['ping: must be "chat" or "native"']),
        ({"max_list_bytes": 5}, ["max_list_bytes: must be 1048576 or more"]),
        ({"open_timeout_seconds": 0}, ["open_timeout_seconds: must be above 0"]),
        (
            {"errors": [{"statuses": [], "means": "gone"}]},
            ["errors[0].statuses: must have 1 or more entries"],
        ),
    ],
)
def test_wrong_keys_are_named(options: dict[str, object], faults: list[str]) -> None:
    assert [str(fault) for fault in registry.option_faults("morpheus", options)] == faults


def _patterns(schema: object) -> Iterator[str]:
    """Yield every regular expression that a key's text must match."""
    match schema:
        case {"pattern": str(pattern), "type": "string"}:
            yield pattern
        case dict():
            for below in schema.values():
                yield from _patterns(below)
        case list():
            for below in schema:
                yield from _patterns(below)


@pytest.mark.parametrize("driver", registry.DRIVERS)
def test_every_pattern_of_a_key_is_said_in_words(driver: str) -> None:
    assert set(_patterns(registry.options_model(driver).model_json_schema())) <= WORDS.keys()


def test_a_look_that_is_no_path_is_reported_what_is_allowed() -> None:
    [fault] = registry.option_faults("openai", {"looks": ["\u202e"]})
    assert fault.loc == ("looks", 0)
    assert fault.message.startswith('must be a path at the endpoint, such as "models" or "../health"')
