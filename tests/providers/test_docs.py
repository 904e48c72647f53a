"""docs/providers.md names every setting of every driver with its default, and no other."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from orchestrator.providers import registry
from orchestrator.providers.shared.options import DriverOptions
from orchestrator.settings import load_configuration
from orchestrator.wiring import known_drivers
from tests.drivers import PLATFORMS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "providers.md").read_text()
EXAMPLE = ROOT / "deploy" / "orchestrator.toml"
COMMON = DriverOptions.model_fields
EVERY_DRIVER = sorted(registry.DRIVERS)


def chapters() -> Mapping[str, str]:
    """Return the text under each heading; "" is the beginning."""
    beginning, *below = re.split(r"^## ", PAGE, flags=re.MULTILINE)
    return {"": beginning} | {text.partition("\n")[0]: text for text in below}


def card_of(driver: str) -> str:
    return next(text for heading, text in chapters().items() if heading.endswith(f"(`{driver}`)"))


def settings_in(text: str, heading: str = "setting") -> dict[str, str]:
    """Return setting → default, from the tables under such a heading. Each has its meaning in the last cell."""
    begin = rf"^\| {re.escape(heading)} \|[^\n]*\n\|[-|]+\n"
    tables = re.findall(begin + r"((?:\|[^\n]*\n)+)", text, flags=re.MULTILINE)
    rows = [row.split("|") for table in tables for row in table.splitlines()]
    names = [cells[1].strip(" `") for cells in rows]
    assert len(names) == len(set(names)), "each once"
    return {name: cells[2].replace("`", "").strip() for name, cells in zip(names, rows, strict=True)}


def meanings_in(text: str) -> dict[str, str]:
    """Return setting → meaning, from the tables of settings."""
    tables = re.findall(r"^\| setting \|[^\n]*\n\|[-|]+\n((?:\|[^\n]*\n)+)", text, flags=re.MULTILINE)
    rows = (row.split("|") for table in tables for row in table.splitlines())
    return {cells[1].strip(" `"): "|".join(cells[4:-1]).strip() for cells in rows}


def default_of(field: FieldInfo) -> str:
    """Return it as the page writes it."""
    if field.is_required():
        return "required"
    value: Any = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel):
        value = value.model_dump(exclude_none=True)
    if value is None or value in ((), {}):
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ", ".join(str(one) for one in value)
    return f"{value:g}" if isinstance(value, float) else str(value) or "empty"


def expected(fields: Mapping[str, FieldInfo]) -> dict[str, str]:
    """Return its name in the configuration: its alias, where it has one."""
    return {field.alias or name: default_of(field) for name, field in fields.items()}


def tables_of(model: type[BaseModel]) -> dict[str, type[BaseModel]]:
    """Return the settings that are tables themselves: those of other models."""
    return {
        name: part
        for name, field in model.model_fields.items()
        for part in (field.annotation, *get_args(field.annotation))
        if isinstance(part, type) and issubclass(part, BaseModel)
    }


def test_what_all_drivers_have_in_common_stands_at_the_beginning() -> None:
    assert settings_in(chapters()[""]) == expected(COMMON)


@pytest.mark.parametrize("driver", EVERY_DRIVER)
def test_a_card_names_every_setting_of_its_driver_with_the_default(driver: str) -> None:
    own = {
        name: field
        for name, field in registry.options_model(driver).model_fields.items()
        if name not in COMMON
    }
    assert settings_in(card_of(driver)) == expected(own)


@pytest.mark.parametrize("driver", EVERY_DRIVER)
def test_a_card_names_every_key_of_the_tables_that_settings_are(driver: str) -> None:
    tables = tables_of(registry.options_model(driver))
    assert "errors" in tables, "what every driver has in common is found too"
    for name, model in tables.items():
        where = chapters()[""] if name in COMMON else card_of(driver)
        assert settings_in(where, f"key in `{name}`") == expected(model.model_fields), name


@pytest.mark.parametrize("driver", EVERY_DRIVER)
def test_tables_that_a_card_describes_are_settings_of_its_driver(driver: str) -> None:
    described = set(re.findall(r"^\| key in `(\w+)` \|", card_of(driver), flags=re.MULTILINE))
    assert described == set(tables_of(registry.options_model(driver))) - set(COMMON)


@pytest.mark.parametrize("where", ["", *EVERY_DRIVER])
def test_every_setting_has_a_meaning(where: str) -> None:
    text = card_of(where) if where else chapters()[""]
    assert {name for name, meaning in meanings_in(text).items() if not meaning} == set()


@pytest.mark.parametrize("driver", EVERY_DRIVER)
def test_the_table_on_top_has_a_line_for_every_driver(driver: str) -> None:
    assert f"| `{driver}` |" in chapters()[""]


@pytest.mark.parametrize("driver", EVERY_DRIVER)
def test_a_card_has_an_example_that_loads(driver: str, tmp_path: Path) -> None:
    blocks = re.findall(r"```toml\n(.*?)```", card_of(driver), flags=re.DOTALL)
    assert blocks
    for block in blocks:
        file = tmp_path / "orchestrator.toml"
        file.write_text(block.replace("…", "ab" * 20))
        configuration = load_configuration(file, known_drivers=known_drivers(), require_secrets=False)
        assert {provider.driver for provider in configuration.providers.values()} == {driver}


def test_the_example_configuration_loads() -> None:
    configuration = load_configuration(EXAMPLE, known_drivers=known_drivers(), require_secrets=False)
    assert {provider.driver for provider in configuration.providers.values()} <= set(registry.DRIVERS)
    assert len(configuration.providers) > 1


def test_every_driver_under_test_has_a_card() -> None:
    assert all(card_of(platform.driver) for platform in PLATFORMS)
