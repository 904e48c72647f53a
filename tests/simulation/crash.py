"""The fate of a process that dies once, at its k-th touch of the world."""

import asyncio

from tests.simulation.fates import COMES_BACK
from tests.simulation.worker import Worker


class Crash:
    """The fate of one telling: counts its points, and ends the process at the k-th."""

    def __init__(self, at: int | None) -> None:
        self._at = at
        self.latency = 0.01
        """Of each call, on its way there. Seconds."""
        self.leaves_after: str | None = None
        """Once this function has committed, the process is told to leave."""
        self.points: list[str] = []

    def at_commit(self, worker: Worker, when: str, where: str) -> None:
        if when == "after" and where == self.leaves_after:
            self.leaves_after = None
            worker.services.slots.close()
            worker.universe.loop.call_later(5, worker.kill)
        if when != "begin":
            self._point(worker, f"{when} the commit of {where}")

    async def at_call(self, worker: Worker, when: str, what: str) -> None:
        await asyncio.sleep(self.latency if when == "before" else 0.01)
        self._point(worker, f"{when} the call {what}")

    def _point(self, worker: Worker, where: str) -> None:
        task = asyncio.current_task(worker.universe.loop)
        doing = task.get_name().partition(": ")[2] if task else ""
        self.points.append(f"{doing}: {where}")
        if len(self.points) == self._at:
            worker.universe.trouble(COMES_BACK)
            worker.die()
