"""The operator's canary: a URL that answers while the network of this worker works."""

import asyncio
from typing import TYPE_CHECKING

from orchestrator.providers.port.errors import NotSent

if TYPE_CHECKING:  # what only reads rows shares the engine, and needs no HTTP
    from orchestrator.providers.http.client import HttpClient

#: Seconds that the canary may take, and for which its answer is used.
TIMEOUT, HOLDS = 5.0, 5.0


class Canary:
    """Ask the canary after a failed ping. Pings that fail together share one question."""

    def __init__(self, http: "HttpClient", url: str) -> None:
        self._http = http
        self._url = url
        self._question: asyncio.Task[bool] | None = None
        self._asked_at = 0.0

    async def answers(self) -> bool:
        """Return whether the URL answers, with any status."""
        now = asyncio.get_running_loop().time()
        if self._question is None or now - self._asked_at > HOLDS:
            self._asked_at = now
            self._question = asyncio.ensure_future(self._ask())
        return await asyncio.shield(self._question)

    async def _ask(self) -> bool:
        from orchestrator.providers.http.client import Call, NoAnswer

        try:
            await self._http.ask(Call(method="GET", url=self._url, timeout_seconds=TIMEOUT, fresh=True))
        except (NotSent, NoAnswer):
            return False
        return True
