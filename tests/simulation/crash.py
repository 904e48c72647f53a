"""A process that dies once, at its k-th point."""

import asyncio

from tests.simulation.kernel import wait_for
from tests.simulation.process_faults import COMES_BACK
from tests.simulation.worker import Worker


class Crash:
    """The faults of one run of a story: it counts its points, and ends the process at the k-th."""

    def __init__(self, at: int | None) -> None:
        self._at = at
        self.latency = 0.01
        """Duration of each call, on its way there. Seconds."""
        self.leaves_after: str | None = None
        """Once this function has committed, the process receives SIGTERM."""
        self.pauses: dict[str, tuple[int, float]] = {}
        """Before this function begins its n-th transaction, the process stands still for this many seconds: what it has
        read is old when it continues."""
        self.downtime = 1.0
        """After a death the next process starts so soon. Seconds."""
        self.points: list[str] = []
        self.asked: set[str] = set()
        """`driver.method` of every call of a driver."""

    def awaited_in_vain(self) -> list[str]:
        """Return the commits that the story names and that never came: it did not cover what it was to cover."""
        names = [*self.pauses, *([self.leaves_after] if self.leaves_after else [])]
        return [f"the story waits for the commit of {name}, which never comes" for name in names]

    def asks(self, driver: str, method: str) -> None:
        """Note a call of a driver's method."""
        self.asked.add(f"{driver}.{method}")

    def at_commit(self, worker: Worker, when: str, where: str) -> None:
        if when == "begin" and where in self.pauses:
            self._stand_still(worker, where)
        if when == "after" and where == self.leaves_after:
            self.leaves_after = None
            worker.services.slots.close()
            worker.around.loop.call_later(5, worker.kill)
        if when != "begin":
            self._point(worker, f"{when} the commit of {where}")

    async def at_call(self, worker: Worker, when: str, what: str) -> None:
        await asyncio.sleep(self.latency if when == "before" else 0.01)
        self._point(worker, f"{when} the call {what}")

    def _stand_still(self, worker: Worker, where: str) -> None:
        left, seconds = self.pauses.pop(where)
        if left > 1:
            self.pauses[where] = left - 1, seconds
            return
        worker.around.note(worker.name, f"stands still before {where} for {seconds:g} s")
        worker.around.trouble(seconds + COMES_BACK)
        wait_for(asyncio.sleep(seconds))

    def _point(self, worker: Worker, where: str) -> None:
        task = asyncio.current_task(worker.around.loop)
        doing = task.get_name().partition(": ")[2] if task else ""
        self.points.append(f"{doing}: {where}")
        if len(self.points) == self._at:
            worker.around.trouble(COMES_BACK)
            worker.die()
