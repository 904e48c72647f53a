"""A tree of processes: started by forking once everything is imported, restarted when one dies, stopped together."""

import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess

from orchestrator.settings import ConfigurationError
from orchestrator.tasks.draining import BOUND
from orchestrator.tasks.liveness import started_again

log = logging.getLogger(__name__)

#: Seconds that children have to drain, before they are killed: a little more than they take.
GRACE = BOUND + 5
#: A child that dies is started again after 1, 2, 4 … seconds, at most these; one that lived this long starts afresh.
LONGEST_PAUSE = 30.0
_LOOK = 0.2
#: Every so many looks it is asked whether what all rest on is there; so many misses in a row, and it is not.
_LOOKS_APART, _MISSES = 10, 3

_fork = multiprocessing.get_context("fork")


@dataclass
class _Child:
    name: str
    target: Callable[[], int]
    process: BaseProcess | None = None
    started: float = 0.0
    deaths: int = 0
    restarts: int = 0
    start_at: float = field(default_factory=time.monotonic)


class Tree:
    """Runs every target in a process of its own until it is told to stop, or a child says that it must not run."""

    def __init__(
        self,
        targets: Mapping[str, Callable[[], int]],
        *,
        grace: float = GRACE,
        rests_on: Callable[[], bool] = lambda: True,
    ) -> None:
        """`rests_on`: what all of them need; when it is gone for good, so is the tree, with exit code 1."""
        self._rests_on = rests_on
        self._children = [_Child(name, target) for name, target in targets.items()]
        self._grace = grace
        self._signals = 0
        self._alive_read, self._alive_write = os.pipe()

    def run(self) -> int:
        """Blocks. SIGTERM and SIGINT stop all with time to finish, a second one at once. Returns the exit code."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        missed, looks = 0, 0
        while not self._signals and missed < _MISSES:
            self._start_what_is_missing()
            time.sleep(_LOOK)
            looks += 1
            if looks % _LOOKS_APART == 0:
                missed = 0 if self._rests_on() else missed + 1
        if missed:
            log.error(
                "what everything here rests on, the private Valkey, has ended: leaving, to be started again"
            )
        return self._stop() or int(missed >= _MISSES)

    def _on_signal(self, *_: object) -> None:
        self._signals += 1

    def _start_what_is_missing(self) -> None:
        now = time.monotonic()
        for child in self._children:
            if child.process is not None and not child.process.is_alive():
                self._note_death(child, now)
            if child.process is None and now >= child.start_at and not self._signals:
                self._start(child)

    def _start(self, child: _Child) -> None:
        child.process = _fork.Process(target=self._in_child, args=(child,), name=child.name)
        child.process.start()
        child.started = time.monotonic()

    def _note_death(self, child: _Child, now: float) -> None:
        assert child.process is not None
        code = child.process.exitcode
        child.deaths = 1 if now - child.started > LONGEST_PAUSE else child.deaths + 1
        pause = min(2.0 ** (child.deaths - 1), LONGEST_PAUSE)
        log.warning("process %s ended with %s; starting it again in %g s", child.name, code, pause)
        child.process, child.start_at = None, now + pause
        child.restarts += 1

    def _in_child(self, child: _Child) -> None:
        """A group of its own, so that Ctrl-C reaches the parent alone; it ends when the parent does."""
        os.setpgid(0, 0)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        os.close(self._alive_write)
        threading.Thread(
            target=_end_with, args=(self._alive_read, self._grace), name="parent", daemon=True
        ).start()
        started_again(child.restarts)
        sys.exit(_ended(child.target))

    def _stop(self) -> int:
        alive = self._alive()
        for child in alive:
            self._send(child, signal.SIGTERM)
        give_up_at = time.monotonic() + self._grace
        while self._alive() and self._signals < 2 and time.monotonic() < give_up_at:
            time.sleep(_LOOK / 2)
        for child in self._alive():
            log.warning("process %s did not finish in time; its leases bring its work back", child.name)
            self._send(child, signal.SIGKILL)
        for child in alive:
            if child.process is not None:
                child.process.join(5)
        return 0

    def _alive(self) -> list[_Child]:
        return [child for child in self._children if child.process is not None and child.process.is_alive()]

    @staticmethod
    def _send(child: _Child, number: signal.Signals) -> None:
        if child.process is not None and child.process.pid is not None:
            try:
                os.kill(child.process.pid, number)
            except ProcessLookupError:
                log.debug("process %s had ended already", child.name)


def _ended(target: Callable[[], int]) -> int:
    """The exit code of a child. What is configured wrong is told without a trace: the next start may find it mended."""
    try:
        return target()
    except ConfigurationError as error:
        for fault in error.faults:
            log.error("%s", fault)
        return 2


def _end_with(alive: int, grace: float) -> None:
    """The parent holds the other end: when it is gone, however it died, this process drains and leaves."""
    os.read(alive, 1)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(grace)
    os._exit(1)
