"""Wait for what an open has started: until it has an address, has failed, or time is over."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from orchestrator.providers.http.clock import monotonic
from orchestrator.providers.port.driver import Closed, Life, Placed
from orchestrator.providers.port.errors import (
    NotSent,
    OutcomeUnknown,
    ProviderError,
    ProviderFull,
    Throttled,
)


class Shown(Protocol):
    """A resource, as its platform shows it."""

    @property
    def life(self) -> Life: ...

    @property
    def said(self) -> str:
        """Its state, in words for people."""


T = TypeVar("T", bound=Shown)


@dataclass(frozen=True, kw_only=True, slots=True)
class Start(Generic[T]):
    """How a resource that starts for us is looked up. `until` is an instant of the monotonic clock."""

    name: str
    look: Callable[[], Awaitable[T | None]]
    place: Callable[[T], Awaitable[Placed | None]]
    """Return its placement once it has an address."""
    end: Callable[[T], Awaitable[Closed]]
    """End one that failed. Raises ProviderError without a proof."""
    failed: frozenset[Life]
    until: float
    poll_seconds: float

    async def wait(self, seen: T | None = None) -> Placed:
        """Return its placement; pings wait for the rest. `seen`: as it was shown last, where it was.

        Raises ProviderFull once it has failed and is gone, and OutcomeUnknown otherwise."""
        found, said = seen, f"{self.name} was not shown yet"
        while True:
            found = found or await self._looked()
            if found is not None:
                said = found.said
                if found.life in self.failed:
                    raise await self._failure(found)
                placed = await self.place(found)
                if placed is not None:
                    return placed
            if not await slept(self.poll_seconds, self.until):
                raise OutcomeUnknown(f"{said}, without an address in time", possible_orphans=True)
            found = None

    async def _looked(self) -> T | None:
        """Look it up. An answer that fails for now returns None, and is asked for again: it must never look like a
        refusal of the open."""
        try:
            return await self.look()
        except (NotSent, Throttled):
            return None
        except ProviderError as error:
            said = f"{self.name} was ordered, but its state cannot be read: {error}"
            raise OutcomeUnknown(said, possible_orphans=True) from error

    async def _failure(self, found: T) -> ProviderError:
        """End what failed. Return a refusal once it has ended, and OutcomeUnknown before."""
        try:
            closed = await self.end(found)
        except ProviderError as error:
            return OutcomeUnknown(f"{found.said}, and {error}", possible_orphans=True)
        return ProviderFull(f"{found.said}; {closed.proof}")


async def slept(seconds: float, until: float) -> bool:
    """Sleep until the next look. Return False, without sleeping, where that would be too late."""
    if monotonic() + seconds >= until:
        return False
    await asyncio.sleep(seconds)
    return True
