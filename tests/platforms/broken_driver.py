"""A driver with a defect: it meets an unforeseen answer."""

from decimal import Decimal

from orchestrator.providers.drivers.openai import OpenAIDriver, OpenAIOptions
from orchestrator.providers.http.client import HttpClient
from orchestrator.providers.port.driver import Balance, Secret


class BrokenDriver(OpenAIDriver):
    """A driver in which a query about its key raises an error that is none of the port's."""

    low_balance_below = Decimal(1)

    async def check(self, secret: Secret | None) -> str:
        raise ZeroDivisionError

    async def balance(self, secret: Secret | None) -> Balance:
        raise ZeroDivisionError


def broken_driver(name: str) -> BrokenDriver:
    """Return one that fails before the network."""
    return BrokenDriver(name, OpenAIOptions(base_url="http://127.0.0.1:1"), HttpClient())
