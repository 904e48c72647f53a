"""Faults of a worker's own machine, before a byte leaves it: no file, no port, no route, no resolver."""

import asyncio
import errno
import random
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import aiohttp
from aiohttp.client_reqrep import ConnectionKey

from orchestrator.providers.http.resolver import WatchedResolver
from tests.simulation.surroundings import FailedHere, Surroundings

#: A flavour besides those of process_faults.
LOCAL_FAULTS = "machines fail"
#: Seconds between two of them, on average, and for which one lasts.
EVERY, LASTS = 2400.0, (60.0, 1800.0)
_KEY = ConnectionKey("platforms.example", 80, False, True, None, None, None)


def _of_socket(number: int) -> Callable[[], aiohttp.ClientConnectorError]:
    return lambda: aiohttp.ClientConnectorError(_KEY, OSError(number, errno.errorcode[number]))


def _of_resolver(number: int) -> Callable[[], aiohttp.ClientConnectorError]:
    return lambda: aiohttp.ClientConnectorDNSError(_KEY, socket.gaierror(number, "no name is found"))


#: What fails → the error of a call, as the transport raises it.
ERRORS: Mapping[str, Callable[[], aiohttp.ClientConnectorError]] = {
    "no file is free": _of_socket(errno.EMFILE),
    "no port is free": _of_socket(errno.EADDRNOTAVAIL),
    "there is no route": _of_socket(errno.ENETUNREACH),
    "the resolver is silent": _of_resolver(socket.EAI_AGAIN),
    "the resolver knows no name": _of_resolver(socket.EAI_NONAME),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """A fault that is active now."""

    what: str
    share: float
    """The share of calls that fail."""


class Machines:
    """The faults of the workers' machines, by one seed."""

    def __init__(self, around: Surroundings, rng: random.Random, alive: Callable[[], list[str]]) -> None:
        """`alive`: the names of the workers that are."""
        self._around, self._rng, self._alive = around, rng, alive
        self.failed_here: list[FailedHere] = []
        self._faults: dict[str, Fault] = {}
        self.active = False

    async def fail(self) -> None:
        """Let one machine, all but one, or all of them fail for a while, now and then, for ever."""
        while True:
            await asyncio.sleep(self._rng.expovariate(1 / EVERY))
            seconds, spared = self._rng.uniform(*LASTS), self._rng.choice((0, 1, 1, 2))
            fault = Fault(what=self._rng.choice(sorted(ERRORS)), share=self._rng.choice((0.3, 1.0, 1.0)))
            if self.active:
                alive = self._alive()
                self._begin(self._rng.sample(alive, max(len(alive) - spared, 0)), fault)
                await asyncio.sleep(seconds)
                self._faults.clear()

    def clear(self) -> None:
        """Heal all of them."""
        self.active = False
        self._faults.clear()

    def at_call(self, worker: str, about: str | None) -> None:
        """Raise the transport's error on this worker's machine now. `about`: the placement that the call is about."""
        fault = self._faults.get(worker)
        if fault is not None and self._rng.random() < fault.share:
            self._around.counts.faults[fault.what] += 1
            self.failed_here.append((self._around.loop.now(), about))
            error = ERRORS[fault.what]()
            raise error

    def resolves(self, worker: str) -> bool:
        """Return whether this worker's machine finds any name."""
        fault = self._faults.get(worker)
        return fault is None or "resolver" not in fault.what

    def _begin(self, workers: list[str], fault: Fault) -> None:
        for worker in workers:
            self._faults[worker] = fault
            self._around.note(worker, f"{fault.what}, for {fault.share:.0%} of its calls")


class Resolver(WatchedResolver):
    """The resolver of a simulated machine, as far as it is asked for other names."""

    def __init__(self, finds: Callable[[], bool]) -> None:
        super().__init__()
        self._finds = finds

    async def answers_for_others(self, host: str) -> bool | None:
        """Return whether other names are found now."""
        return self._finds()
