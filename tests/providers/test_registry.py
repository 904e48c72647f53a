"""Drivers by name."""

import asyncio
from collections.abc import Iterator

import pytest
from pydantic import ValidationError

from orchestrator.providers import registry
from orchestrator.providers.http.client import HttpClient
from orchestrator.providers.morpheus.driver import MorpheusDriver
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


def test_an_unknown_driver_is_told_the_known_ones() -> None:
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
    assert not registry.card("openai", BASE).has_lifecycle
    gateway = registry.card("morpheus", BASE)
    assert gateway.exclusive_credentials
    assert gateway.serialised
    assert gateway.repeats_open
    assert not gateway.closes_by_id
    assert (gateway.shortest_duration_seconds, gateway.resolve_after_seconds) == (300, 900)
    assert registry.card("morpheus", {**BASE, "ping": "native"}).native_ping_is_lifecycle


@pytest.mark.parametrize(
    ("options", "faults"),
    [
        ({}, []),
        ({"ping": "native", "close_attempts": 5}, []),
        ({"png": "native"}, [("png", "unknown key")]),
        ({"ping": "sonar"}, [("ping", "input should be 'chat' or 'native'")]),
    ],
)
def test_wrong_keys_are_named(options: dict[str, object], faults: list[tuple[str, str]]) -> None:
    assert registry.option_faults("morpheus", options) == faults


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


def test_a_look_that_is_no_path_is_told_what_is_allowed() -> None:
    [(key, message)] = registry.option_faults("openai", {"looks": ["\u202e"]})
    assert key == "looks.0"
    assert message.startswith('must be a path at the endpoint, such as "models" or "../health"')
