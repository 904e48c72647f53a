"""Publishes wake-ups after commits, from a thread of its own: many at once become one, and a broker that hangs
holds nobody up. A wake-up that is lost is made good by the next tick."""

import logging
import threading
from collections.abc import Callable

from orchestrator.rules.states import Step

log = logging.getLogger(__name__)


class Waker:
    """Call it with the steps that a commit made due."""

    def __init__(self, publish: Callable[[Step], None]) -> None:
        self._publish = publish
        self._due: set[Step] = set()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def __call__(self, steps: frozenset[Step]) -> None:
        """Remember them; returns at once."""
        with self._changed:
            self._due |= steps
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="waker", daemon=True)
                self._thread.start()
            self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._due))
                steps, self._due = self._due, set()
            for step in sorted(steps):
                self._send(step)

    def _send(self, step: Step) -> None:
        try:
            self._publish(step)
        except Exception as error:  # noqa: BLE001  (whatever the broker does, the tick comes)
            log.warning("wake-up for %s not published: %s", step, type(error).__name__)
