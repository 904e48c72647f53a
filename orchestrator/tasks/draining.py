"""Stop a process: the first SIGTERM or SIGINT drains it within a time limit, a second one ends it at once."""

import logging
import os
import select
import signal
import threading
import time
from collections.abc import Callable

log = logging.getLogger(__name__)

#: Seconds from the first signal to the end, even if calls are still under way. A supervisor (a process tree, systemd, a
#: container's runtime) must wait a little longer.
BOUND = 20.0
#: Seconds from the first signal during which calls under way may end; the rest is for saving their results.
CALLS_END_WITHIN = 17.0
#: Seconds after which a ping is no longer waited for: unlike an open or a close, another worker can just send it again.
PINGS_END_WITHIN = 12.0


def _leave() -> None:
    os._exit(0)


class Drain:
    """The drain of one process. Create it in that process; call `listen` in its main thread."""

    def __init__(self, *, bound: float = BOUND, leave: Callable[[], None] = _leave) -> None:
        self._bound = bound
        self._leave = leave
        self._signal_read, self._signal_write = os.pipe()
        self._began = 0.0
        self._signalled = threading.Event()

    @property
    def begun(self) -> bool:
        """Return whether this process has received a signal to stop."""
        return self._signalled.is_set()

    def listen(
        self, *, at_once: Callable[[], None] = lambda: None, then: Callable[[], None] = lambda: None
    ) -> None:
        """Listen for signals. `at_once` runs in the signal's handler, and may only set flags; `then` in a thread."""

        def on_signal(*_: object) -> None:  # no locks here: the main thread may hold them
            at_once()
            os.write(self._signal_write, b"!")

        threading.Thread(target=self._watch, args=(then,), name="drain", daemon=True).start()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, on_signal)

    def begin(self) -> None:
        """Start the time limit if no signal has come, since this process ends by itself."""
        self._began = self._began or time.monotonic()

    def left(self, within: float) -> float:
        """Return the seconds until `within` seconds after the signal, or after `begin`; before either, all of
        `within`."""
        return max(within - (time.monotonic() - self._began), 0.0) if self._began else within

    def wait(self, seconds: float | None = None) -> bool:
        """Sleep for this long, or until a signal to stop. Return whether one has come."""
        return self._signalled.wait(seconds)

    def _watch(self, then: Callable[[], None]) -> None:
        os.read(self._signal_read, 1)
        self.begin()
        self._signalled.set()
        log.info("stopping: no new work is begun; running work has %g s to end", self._bound)
        threading.Thread(target=then, name="draining", daemon=True).start()
        again, _, _ = select.select([self._signal_read], [], [], self._bound)
        if again:
            log.warning("second signal: exiting now; unfinished work is retried when its leases expire")
        else:
            log.warning(
                "not all ended within %g s: exiting; the rest is retried when its leases expire", self._bound
            )
        self._leave()
