"""A tree of processes. They are forked after everything is imported, restarted when one dies, and stopped together."""

import logging
import multiprocessing
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.process import BaseProcess

from orchestrator.rules.backoff import backoff
from orchestrator.settings import ConfigurationError
from orchestrator.tasks.draining import BOUND
from orchestrator.tasks.liveness import started_again

log = logging.getLogger(__name__)

#: Seconds that children have to drain, before they are killed: a little more than they take.
GRACE = BOUND + 5
#: A child that dies is started again after 1, 2, 4 … seconds, at most these; one that lived this long starts afresh.
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
_LOOK = 0.2
#: Looks between two checks of what all processes need, and failed checks in a row after which it is gone.
_LOOKS_APART, _MISSES = 10, 3

_fork = multiprocessing.get_context("fork")


def pause_after(failures: int) -> float:
    """Return the seconds before a retry after this many failures in a row."""
    return backoff(FIRST_PAUSE, failures - 1, LONGEST_PAUSE)


class _Guard:
    """Keeps the parent running: a step that raises is logged, and retried after a pause that grows."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._failures = 0
        self._again_at = 0.0

    def run(self, step: Callable[[], object]) -> None:
        """Run the step, unless it failed too recently."""
        now = time.monotonic()
        if now < self._again_at:
            return
        try:
            step()
        except Exception as error:  # noqa: BLE001  (children must be supervised, and signals obeyed, whatever fails)
            self._failures += 1
            pause = pause_after(self._failures)
            self._again_at = now + pause
            log.error(
                "cannot %s: %s: %s; trying again in %g s", self._what, type(error).__name__, error, pause
            )
        else:
            self._failures = 0


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
    """Runs every target in a process of its own, and restarts one that ends, until a signal comes or what all of them
    need is gone."""

    def __init__(
        self,
        targets: Mapping[str, Callable[[], int]],
        *,
        grace: float = GRACE,
        rests_on: Callable[[], bool] = lambda: True,
    ) -> None:
        """Prepare the processes. `rests_on`: what all of them need; when it is gone for good, the tree ends with exit
        code 1."""
        self._rests_on = rests_on
        self._children = [_Child(name, target) for name, target in targets.items()]
        self._guards = {name: _Guard(f"supervise process {name}") for name in targets}
        self._misses, self._asking = 0, _Guard("find out whether the private Valkey answers")
        self._grace = grace
        self._signals = 0
        self._alive_read, self._alive_write = os.pipe()

    def run(self) -> int:
        """Supervise until the end, and return the exit code. SIGTERM and SIGINT stop all with time to finish, a second
        one at once."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        try:
            self._supervise()
        except Exception:
            log.exception("supervising the processes failed; stopping all of them")
            return 1
        finally:
            self._stop()
        return int(self._misses >= _MISSES)

    def _supervise(self) -> None:
        looks = 0
        while not self._signals and self._misses < _MISSES:
            for child in self._children:
                self._guards[child.name].run(partial(self._check, child))
            _sleep(_LOOK)
            looks += 1
            if looks % _LOOKS_APART == 0:
                self._asking.run(self._ask)
        if self._misses >= _MISSES:
            log.error(
                "the private Valkey, which every process here needs, has ended: exiting, to be restarted"
            )

    def _ask(self) -> None:
        self._misses = 0 if self._rests_on() else self._misses + 1

    def _on_signal(self, *_: object) -> None:
        self._signals += 1

    def _check(self, child: _Child) -> None:
        now = time.monotonic()
        if child.process is not None and not child.process.is_alive():
            self._note_death(child, now)
        if child.process is None and now >= child.start_at and not self._signals:
            self._start(child)

    def _start(self, child: _Child) -> None:
        _check_that_a_process_can_start()
        process = _fork.Process(target=self._in_child, args=(child,), name=child.name)
        process.start()
        child.process, child.started = process, time.monotonic()

    def _note_death(self, child: _Child, now: float) -> None:
        assert child.process is not None
        code = child.process.exitcode
        child.deaths = 1 if now - child.started > LONGEST_PAUSE else child.deaths + 1
        pause = pause_after(child.deaths)
        child.process, child.start_at = None, now + pause
        child.restarts += 1
        log.warning("process %s ended with %s; restarting it in %g s", child.name, code, pause)

    def _in_child(self, child: _Child) -> None:
        """Run the target in a process group of its own, so that Ctrl-C reaches the parent alone. It ends when the
        parent does."""
        os.setpgid(0, 0)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        os.close(self._alive_write)
        threading.Thread(
            target=_end_with, args=(self._alive_read, self._grace), name="parent", daemon=True
        ).start()
        started_again(child.restarts)
        sys.exit(_ended(child.target))

    def _stop(self) -> None:
        alive = self._alive()
        for child in alive:
            self._send(child, signal.SIGTERM)
        give_up_at = time.monotonic() + self._grace
        while self._alive() and self._signals < 2 and time.monotonic() < give_up_at:
            _sleep(_LOOK / 2)
        for child in self._alive():
            log.warning(
                "process %s did not finish in time; its work is retried when its leases expire", child.name
            )
            self._send(child, signal.SIGKILL)
        for child in alive:
            if child.process is not None:
                child.process.join(5)

    def _alive(self) -> list[_Child]:
        return [child for child in self._children if child.process is not None and child.process.is_alive()]

    @staticmethod
    def _send(child: _Child, number: signal.Signals) -> None:
        if child.process is not None and child.process.pid is not None:
            try:
                os.kill(child.process.pid, number)
            except ProcessLookupError:
                log.debug("process %s had ended already", child.name)
            except OSError as error:
                log.warning("cannot send a signal to process %s: %s", child.name, error)


def _sleep(seconds: float) -> None:
    """Pause. If the machine refuses that, continue at once, so that no loop here ends."""
    try:
        time.sleep(seconds)
    except OSError:
        select.select([], [], [], seconds)


def _check_that_a_process_can_start() -> None:
    """Raise OSError where there are too few descriptors, processes or memory for one more: a start that fails
    halfway would leave its pipes open each time."""
    ends: list[int] = []
    try:
        for _ in range(2):
            ends.extend(os.pipe())
        probe = os.fork()
        if probe == 0:
            os._exit(0)
        os.waitpid(probe, 0)
    finally:
        for end in ends:
            os.close(end)


def _ended(target: Callable[[], int]) -> int:
    """Return the exit code of a child. A fault of configuration is logged without a traceback: the next start may
    work."""
    try:
        return target()
    except ConfigurationError as error:
        for fault in error.faults:
            log.error("%s", fault)
        return 2


def _end_with(alive: int, grace: float) -> None:
    """Wait until the parent is gone, however it ended, then drain this process and exit. The parent holds the pipe's
    other end."""
    os.read(alive, 1)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(grace)
    os._exit(1)
