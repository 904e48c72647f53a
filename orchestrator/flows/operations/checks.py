"""Try one thing after another at a provider; the result of each is a row for an operator."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass

from orchestrator.flows.engine.services import Services
from orchestrator.flows.operations import remedies
from orchestrator.providers.port.card import Card
from orchestrator.providers.port.driver import Driver
from orchestrator.providers.port.errors import CannotAsk, ProviderError
from orchestrator.rules.text import numbered

#: The time limit of one try. Seconds.
TIMEOUT = 30.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Tried:
    """One try and its result."""

    what: str
    works: bool | None
    """None: not tried; `said` gives the reason."""
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
        """Its credentials, or None alone if it has none, as servers without a key."""
        return self.services.config.providers[self.name].all_credentials or (None,)


def tried(subject: Subject, what: str, ask: Callable[[], Awaitable[str]]) -> Tried:
    """Ask once, within a time limit; every failure becomes a row."""

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


def card_facts(card: Card) -> Iterator[str]:
    """Yield what the driver's card says, in an operator's words."""
    yield "sessions are opened and closed there" if card.lifecycle.managed else "always-on endpoints"
    yield "can be listed" if card.status.can_list else "cannot be listed"
    if card.lifecycle.attaches:
        yield "sessions are opened and closed elsewhere"
    if card.identity.exclusive_credentials:
        yield "one session for each credential"
    if card.lifecycle.max_nodes is not None:
        yield f"at most {numbered(card.lifecycle.max_nodes, 'node')}"
    if card.lifecycle.shortest_duration_seconds:
        yield f"asked for at least {card.lifecycle.shortest_duration_seconds} s"
    if card.lifecycle.minimum_billing_seconds:
        yield f"at least {card.lifecycle.minimum_billing_seconds} s are billed"
