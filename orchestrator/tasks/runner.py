"""A bell and a runner for each wake-up of a kind of work: due work is done even if no message arrives.

A runner waits for its bell, or at most a few seconds, runs its flow until a run claims nothing, and waits again.
Wake-ups, commits of this process and freed slots only ring the bell. All waits are monotonic."""

import random
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from orchestrator.flows.engine.pipeline import Pipeline
from orchestrator.store.database import StoreOutage
from orchestrator.tasks.failure_log import FailureLog
from orchestrator.tasks.liveness import Pulse
from orchestrator.tasks.outage import Outage
from orchestrator.tasks.ticks import TICKS, Tick, TickContext

#: Seconds after which a runner runs without a bell; one with a longer beat runs a little after that beat.
LOOK_EVERY = 3.0
#: Pauses vary by this share, so that many processes do not run in the same instant.
JITTER = 0.1
#: Runs that may follow each other at once; from then on there is a short pause between two. Seconds.
AT_ONCE, BREATH = 20, 0.05
#: Seconds to wait after a run that failed, even if the bell rings.
AFTER_A_FAILURE = 1.0


class Bell:
    """A wake-up signal; rings before the next run count as one."""

    def __init__(self) -> None:
        self._signal = threading.Event()

    def ring(self) -> None:
        """Ring, without waiting."""
        self._signal.set()

    def wait(self, seconds: float) -> bool:
        """Wait for a ring, at most this long; return whether there was one."""
        signalled = self._signal.wait(seconds)
        self._signal.clear()
        return signalled


class Runner:
    """A thread that runs one flow of this process, one run after the other."""

    def __init__(
        self,
        name: str,
        tick: Tick,
        surroundings: Callable[[], TickContext],
        outage: Outage,
        pulse: Pulse,
        *,
        prove: Callable[[], object] = lambda: None,
    ) -> None:
        """Prepare the thread. `surroundings` may raise while the process cannot be built. `prove`: writes, and so
        proves that an outage is over."""
        self.name = name
        self._tick = tick
        self._surroundings = surroundings
        self._outage = outage
        self._prove = prove
        self._pulse = pulse
        self._bell = Bell()
        self._leaving = threading.Event()
        self._pipeline: Pipeline[Any, Any] | None = None
        self._failing = FailureLog()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Run at once, and from then on."""
        self._bell.ring()
        self._thread.start()

    def ring(self) -> None:
        """Wake the runner, since rows may be due. Returns at once."""
        self._bell.ring()

    def leave(self) -> None:
        """Begin no other run. Returns at once."""
        self._leaving.set()
        self._bell.ring()

    def wait(self, seconds: float) -> int:
        """Wait until the present run, and everything claimed, is done; return how much is not done."""
        give_up_at = time.monotonic() + seconds
        self._thread.join(max(seconds, 0.0))
        left = self._pipeline.wait(max(give_up_at - time.monotonic(), 0.0)) if self._pipeline else 0
        return left + self._thread.is_alive()

    def _run(self) -> None:
        while not self._leaving.is_set():
            self._bell.wait(pause_of(self._tick, random.uniform(-1, 1)))
            if not self._leaving.is_set():
                self._guarded()

    def _guarded(self) -> None:
        try:
            self._until_nothing_is_due()
            self._outage.note_success(self._prove)
        except StoreOutage as error:
            self._outage.note_failure(error)
            self._pulse.note_failure(self.name, error)
            self._leaving.wait(AFTER_A_FAILURE)
        except Exception as error:  # noqa: BLE001  (it is logged: what is due stays due, and the runner continues)
            self._log_failure(error)
            self._leaving.wait(AFTER_A_FAILURE)
        else:
            self._failing.note_success()

    def _until_nothing_is_due(self) -> None:
        runs = 0
        while self._run_once() and not self._leaving.is_set():
            self._pulse.note_claim()
            runs += 1
            if not repeats(self._tick):
                return
            pause = max(self._tick.pause_seconds, BREATH if runs >= AT_ONCE else 0.0)
            if pause > 0 and self._leaving.wait(pause):
                return

    def _run_once(self) -> int:
        around = self._surroundings()
        if self._tick.step is None:
            tally = self._tick.run(around)
            return int(getattr(tally, "claimed", tally) or 0)
        if self._pipeline is None:
            self._pipeline = Pipeline(around.services, self._tick.step, failed=self._not_settled)
        return self._pipeline.claim()

    def _not_settled(self, error: Exception) -> None:
        if isinstance(error, StoreOutage):
            self._outage.note_failure(error)
        else:
            self._log_failure(error)

    def _log_failure(self, error: Exception) -> None:
        self._pulse.note_failure(self.name, error)
        self._failing.log_failure(f"{self.name} failed; due work is retried", error)


def pause_of(tick: Tick, jitter: float) -> float:
    """Return the seconds that a runner waits for its bell: a little more than until the scheduler's next wake-up.
    `jitter`: between -1 and 1."""
    return max(LOOK_EVERY, tick.every_seconds * 1.2) * (1 + JITTER * jitter)


def repeats(tick: Tick) -> bool:
    """Return whether a run that claimed something is followed by another at once. Upkeep is not: it has its own
    beat."""
    return tick.every_seconds < LOOK_EVERY


class Runners:
    """Every runner of one kind of work."""

    def __init__(
        self,
        kind: str,
        surroundings: Callable[[], TickContext],
        outage: Outage,
        pulse: Pulse,
        *,
        prove: Callable[[], object] = lambda: None,
        ticks: Mapping[str, Tick] = TICKS,
    ) -> None:
        self._runners = {
            name: Runner(name, tick, surroundings, outage, pulse, prove=prove)
            for name, tick in ticks.items()
            if tick.kind == kind
        }

    def start(self) -> None:
        """Start every runner."""
        for runner in self._runners.values():
            runner.start()

    def ring(self, name: str) -> None:
        """Ring the bell of this wake-up, if it is of this kind of work."""
        runner = self._runners.get(name)
        if runner is not None:
            runner.ring()

    def leave(self) -> None:
        """Begin nothing more. Returns at once."""
        for runner in self._runners.values():
            runner.leave()

    def finish(self, left: Callable[[], float]) -> int:
        """Wait for work under way while `left` returns seconds; return how much is not done."""
        return sum(runner.wait(left()) for runner in self._runners.values())
