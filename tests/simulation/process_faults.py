"""Faults of processes, database and broker: no faults at all, or all kinds of faults, by a seed."""

import asyncio
import random
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy.exc import OperationalError

from tests.simulation.kernel import wait_for
from tests.simulation.surroundings import Surroundings
from tests.simulation.worker import Worker


class Calm:
    """Nothing goes wrong."""

    def at_commit(self, worker: Worker, when: str, where: str) -> None:
        """Do nothing."""

    async def at_call(self, worker: Worker, when: str, what: str) -> None:
        """Do nothing."""


class Conflict(Exception):
    """The error of PostgreSQL for a transaction that could not be serialised."""

    sqlstate = "40001"


@dataclass(frozen=True, kw_only=True)
class Rates:
    """How often each fault happens: a probability at each point, unless it says otherwise."""

    kill: float = 0.0
    pause: float = 0.0
    lost_before_commit: float = 0.0
    lost_at_commit: float = 0.0
    conflict: float = 0.0
    lost_message: float = 0.0
    doubled: float = 0.0
    delay: float = 0.0
    """Of a message, in seconds, at most."""
    silent: float = 0.0
    """Above zero: no wake-up comes, and workers look by themselves."""


#: Each seed takes some of these: faults that come together, and faults that come alone.
FLAVOURS: Mapping[str, Rates] = {
    "workers die": Rates(kill=0.004),
    "workers pause": Rates(pause=0.003),
    "the database fails": Rates(lost_before_commit=0.01, lost_at_commit=0.01, conflict=0.02),
    "the broker fails": Rates(lost_message=0.3, doubled=0.3, delay=20.0),
    "the broker is gone": Rates(lost_message=0.98, silent=1.0),
    "every scheduler is dead": Rates(silent=1.0),
}


def together(flavours: list[str]) -> Rates:
    """Combine all of these."""
    chosen = [FLAVOURS[name] for name in flavours]
    return Rates(**{name: max((getattr(rates, name) for rates in chosen), default=0.0) for name in _NAMES})


_NAMES = tuple(Rates.__dataclass_fields__)
#: A claim that is not settled comes back after the longest lease of a close, with its margin. Seconds.
COMES_BACK = 220.0


class Chaos:
    """Faults by a seed, at every point of a process. `active` is the switch."""

    def __init__(self, rng: random.Random, rates: Rates) -> None:
        self._rng = rng
        self._rates = rates
        self.active = False
        self.database_is_down = False

    def at_commit(self, worker: Worker, when: str, where: str) -> None:
        worker.around.counts.points[f"{where} {when}"] += 1
        if self.database_is_down:
            raise OperationalError(where, {}, ConnectionError("the server is down"))
        if not self.active:
            return
        rates = self._rates
        if when == "before":
            self._fail(worker, rates.lost_before_commit, where, "connection lost before commit", 3.0)
            if self._strikes(rates.conflict):
                self._noted(worker, "serialisation failure", where, 3.0)
                raise OperationalError(where, {}, Conflict("could not serialise"))
        elif when == "after":
            # a claim that was committed in spite of the error is not found by the repeated claim
            self._fail(worker, rates.lost_at_commit, where, "connection lost at commit", COMES_BACK)
            if self._strikes(rates.pause):
                wait_for(asyncio.sleep(self._pause(worker, where)))
        self._die(worker, f"{when} the commit of {where}")

    async def at_call(self, worker: Worker, when: str, what: str) -> None:
        await asyncio.sleep(self._rng.uniform(0.002, 0.15))
        if not self.active:
            return
        if self._strikes(self._rates.pause):
            await asyncio.sleep(self._pause(worker, what))
        self._die(worker, f"{when} the call {what}")

    def arrives(self, around: Surroundings, kind: str) -> bool:
        """Return whether the broker delivers this message."""
        if self.active and self._strikes(self._rates.lost_message):
            around.counts.faults[f"{kind} lost"] += 1
            around.trouble(3.0 if kind != "job" else 0.0)
            return False
        return True

    @property
    def silent(self) -> bool:
        """Return whether wake-ups are lost now."""
        return self.active and self._rates.silent > 0

    def doubles(self, around: Surroundings) -> bool:
        """Return whether the broker delivers it twice."""
        twice = self.active and self._strikes(self._rates.doubled)
        around.counts.faults["job doubled"] += twice
        return twice

    def delay(self, around: Surroundings) -> float:
        """Return how long it takes; seconds."""
        late = self.active and self._rates.delay > 0 and self._strikes(0.3)
        around.counts.faults["job delayed"] += late
        return self._rng.uniform(1, self._rates.delay) if late else self._rng.uniform(0.001, 0.02)

    def _strikes(self, rate: float) -> bool:
        return rate > 0 and self._rng.random() < rate

    def _fail(self, worker: Worker, rate: float, where: str, what: str, trouble: float) -> None:
        if self._strikes(rate):
            self._noted(worker, what, where, trouble)
            raise OperationalError(where, {}, ConnectionError(what), connection_invalidated=True)

    def _die(self, worker: Worker, where: str) -> None:
        if self._strikes(self._rates.kill):
            self._noted(worker, "worker killed", where, COMES_BACK)
            worker.die()

    def _pause(self, worker: Worker, where: str) -> float:
        seconds = self._rng.choice((2.0, 20.0, 120.0, 250.0, 700.0))
        self._noted(worker, "worker paused", f"{where} for {seconds:g} s", seconds + COMES_BACK)
        return seconds

    def _noted(self, worker: Worker, what: str, where: str, trouble: float) -> None:
        worker.around.counts.faults[what] += 1
        worker.around.trouble(trouble)
        worker.around.note(worker.name, f"{what}: {where}")
