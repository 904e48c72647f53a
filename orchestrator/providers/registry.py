"""The names that `driver = "…"` may have, and how each driver is built from its configuration."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from orchestrator.providers.drivers import aimlapi, openai
from orchestrator.providers.drivers.fpt import driver as fpt
from orchestrator.providers.drivers.huggingface import driver as huggingface
from orchestrator.providers.drivers.morpheus import driver as morpheus
from orchestrator.providers.drivers.morpheus_node import driver as morpheus_node
from orchestrator.providers.drivers.sesterce import driver as sesterce
from orchestrator.providers.http.client import HttpClient
from orchestrator.providers.port.card import Card
from orchestrator.providers.port.driver import Driver
from orchestrator.providers.shared.driver_type import DriverType
from orchestrator.providers.shared.options import DriverOptions
from orchestrator.providers.shared.patterns import WORDS
from orchestrator.settings import Fault
from orchestrator.validation.wording import in_words

DRIVERS: Mapping[str, DriverType] = {
    "openai": openai.TYPE,
    "aimlapi": aimlapi.TYPE,
    "sesterce": sesterce.TYPE,
    "morpheus": morpheus.TYPE,
    "morpheus-node": morpheus_node.TYPE,
    "fpt": fpt.TYPE,
    "huggingface": huggingface.TYPE,
}


def build(name: str, driver: str, options: Mapping[str, Any], http: HttpClient) -> Driver:
    """Return the driver for `[providers.NAME]`. Raises ValueError (pydantic's, for wrong options)."""
    kind = driver_type(driver)
    return kind.build(name, kind.options.model_validate(dict(options)), http)


def options_model(driver: str) -> type[DriverOptions]:
    """Return the options that `[providers.NAME]` may have for this driver, `base_url` included."""
    return driver_type(driver).options


def option_faults(driver: str, options: Mapping[str, Any]) -> list[Fault]:
    """Return the faults of a driver's own keys (without `base_url`)."""
    try:
        options_model(driver).model_validate({"base_url": "http://unused", **options})
    except ValidationError as error:
        return [Fault(detail["loc"], _said(detail)) for detail in error.errors(include_url=False)]
    return []


def card(driver: str, options: Mapping[str, Any]) -> Card:
    """Return what the platform can do under these options, without building anything."""
    kind = driver_type(driver)
    return kind.card(kind.options.model_validate(dict(options)))


def driver_type(driver: str) -> DriverType:
    """Return the type of this driver. Raises ValueError with the known names."""
    if driver not in DRIVERS:
        raise ValueError(f"unknown driver {driver!r}: it is one of {', '.join(sorted(DRIVERS))}")
    return DRIVERS[driver]


def _said(detail: ErrorDetails) -> str:
    if detail["type"] == "string_pattern_mismatch":
        return WORDS[detail["ctx"]["pattern"]]
    return in_words(detail)
