"""What the registry knows of a driver, to build it from its configuration."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from orchestrator.providers.http.client import HttpClient
from orchestrator.providers.port.card import Card
from orchestrator.providers.port.driver import Driver
from orchestrator.providers.shared.options import DriverOptions


@dataclass(frozen=True, slots=True)
class DriverType:
    """A driver before it is built."""

    options: type[DriverOptions]
    build: Callable[[str, Any, HttpClient], Driver]
    card: Callable[[Any], Card]

    @property
    def needs_base_url(self) -> bool:
        """Whether `[providers.NAME]` must have a `base_url`: the driver's own options say it."""
        return self.options.model_fields["base_url"].is_required()
