"""The data that a fault works with."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Annotated

from pydantic import Field

from orchestrator.simulator.platform import Platform, Route
from orchestrator.simulator.wire import Ask, Refusal, Reply
from orchestrator.simulator.world import Simulator

Seconds = Annotated[float, Field(ge=0, le=86400)]
#: what may be in a header: a line break there would forge another one
HeaderText = Annotated[str, Field(pattern=r"^[^\r\n\x00]*$")]
Status = Annotated[int, Field(ge=200, le=599)]


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One call, and the ways in which a fault can answer it."""

    world: Simulator
    platform: Platform
    ask: Ask
    route: Route | None

    def perform(self) -> Reply:
        """Perform the request as the platform does without any fault."""
        return self.platform.perform(self.world, self.ask, self.route)

    def instead(self, answer: Reply, *, effect: bool) -> Reply:
        """Return another answer, after the effect or without it."""
        if not effect:
            return answer
        done = self.perform()
        return replace(answer, effect=done.effect, session=done.session)

    def refuse(self, refusal: Refusal) -> Reply:
        """Return an error without any effect, in the platform's format."""
        return self.platform.word(self.ask, refusal)

    def quirk(self, name: str) -> Reply | None:
        """Return the platform's own form of this fault, where it has one."""
        own = self.platform.quirks.get(name)
        return own(self.world, self.ask) if own else None


#: its keyword arguments are the fault's parameters
Fault = Callable[..., Reply | Awaitable[Reply]]
