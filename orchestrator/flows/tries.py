"""One thing after another is tried at a provider; each becomes a row for an operator."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from orchestrator.flows import remedies
from orchestrator.flows.services import Services
from orchestrator.providers.driver import CannotAsk, Driver, ProviderError

#: For one try. Seconds.
TIMEOUT = 30.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Tried:
    """One thing that was tried, and what came of it."""

    what: str
    works: bool | None
    """None: not tried; `said` tells why not."""
    said: str
    remedy: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """The provider under check."""

    services: Services
    driver: Driver
    name: str

    @property
    def refs(self) -> Sequence[str | None]:
        """Its credentials; None where it has none, as servers without a key do."""
        return self.services.config.providers[self.name].all_credentials or (None,)


def tried(subject: Subject, what: str, ask: Callable[[], Awaitable[str]]) -> Tried:
    """Ask once, within a bound; every failure becomes a row."""

    async def bounded() -> str:
        async with asyncio.timeout(TIMEOUT):
            return await ask()

    try:
        return Tried(what=what, works=True, said=subject.services.loop.run(bounded()))
    except CannotAsk as error:
        return not_tried(what, str(error))
    except TimeoutError:
        said = f"no answer within {TIMEOUT:g} s"
        return Tried(what=what, works=False, said=said, remedy="look at the platform, and try again")
    except ProviderError as error:
        return Tried(what=what, works=False, said=str(error), remedy=remedies.after_error(error))


def not_tried(what: str, why: str) -> Tried:
    return Tried(what=what, works=None, said=f"not tried: {why}")
