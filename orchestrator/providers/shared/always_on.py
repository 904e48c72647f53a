"""Common code of drivers of always-on endpoints: nothing is created upstream, so a close is local."""

from collections.abc import Sequence

from orchestrator.providers.port.card import ALWAYS_ON, Card
from orchestrator.providers.port.driver import (
    Closed,
    Life,
    Listed,
    NotPlaced,
    Order,
    Placed,
    Secret,
    Status,
    Target,
)
from orchestrator.providers.port.errors import CannotAsk


class AlwaysOn:
    """The methods of a driver without a lifecycle; a driver adds `open` and `probe`."""

    name: str
    card = Card(lifecycle=ALWAYS_ON)

    async def open(self, order: Order) -> Placed:
        raise NotImplementedError

    async def resolve(self, order: Order, *, close: bool) -> Placed | NotPlaced:
        if close:
            return NotPlaced(proof="always-on endpoint: nothing was opened")
        return await self.open(order)

    async def status(self, target: Target) -> Status:
        return Status(life=Life.UNKNOWN, detail=f"{target.model} has no status here: only a ping shows life")

    async def close(self, target: Target) -> Closed:
        return Closed(proof="always-on endpoint: nothing to close", closed_handle=target.handle)

    async def list(self, secret: Secret | None) -> Sequence[Listed]:
        raise CannotAsk(f"{self.name} has no sessions to list{f' under {secret.ref}' if secret else ''}")

    async def aclose(self) -> None:
        """Do nothing: the client is shared, and its builder closes it."""
