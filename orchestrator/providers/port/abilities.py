"""Optional abilities of drivers: `isinstance(driver, HasBalance)`."""

from decimal import Decimal
from typing import Protocol, runtime_checkable

from orchestrator.providers.port.driver import Balance, Secret


@runtime_checkable
class ChecksKey(Protocol):
    """A driver of a platform that can say, at no cost, whether it accepts a key."""

    async def check(self, secret: Secret | None) -> str:
        """Return what works, in a few words. Raises CredentialRefused, or any other ProviderError."""


@runtime_checkable
class ListsModels(Protocol):
    """A driver that opens sessions on a platform that can say beforehand whether it has a model."""

    async def lists(self, model: str, secret: Secret | None) -> str:
        """Return how it is listed, in a few words. Raises ModelMissing, or any other ProviderError."""


@runtime_checkable
class ChecksOwner(Protocol):
    """A driver of a platform that can name a session's owner, if the configuration could name another."""

    async def check_owner(self, handle: str, secret: Secret | None) -> str:
        """Return the owner, in a few words. Raises Misconfigured if it is not ours, or any other ProviderError."""


@runtime_checkable
class HasBalance(Protocol):
    """A driver of a platform that reports the balance of an account."""

    low_balance_below: Decimal  # below this amount operators want to know

    async def balance(self, secret: Secret | None) -> Balance:
        """Return the balance of this credential's account. Raises Refused, NotSent or Throttled."""
