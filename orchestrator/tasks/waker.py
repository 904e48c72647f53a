"""Send wake-ups.

Those of commits are sent by a thread of their own: many at once become one, and a broker that hangs delays no commit. A
lost wake-up costs a few seconds, since runners also run without one."""

import logging
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from celery import Celery

from orchestrator.client.options import direct_queue
from orchestrator.tasks.failure_log import FailureLog
from orchestrator.tasks.wake_ups import WAKE_UPS, queue_of

log = logging.getLogger(__name__)

#: With this many wake-ups waiting, another one is superfluous.
MANY = 100
#: Seconds for which the length of a queue is remembered.
REMEMBERED = 0.5
#: Seconds in which a process sends the same wake-up once at most. The first is sent at once; what comes meanwhile is
#: one, at their end: a message costs its reader more than the claim that it asks for.
ONCE_IN = 0.1


class WakeUps:
    """Send wake-ups to the queues of their kinds, each of which holds a bounded number. Threads may share it.

    Wake-ups have no expiry, which would compare the clocks of two machines."""

    def __init__(
        self,
        app: Celery,
        *,
        length: Callable[[str], int] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare to send. `length`: how many messages wait in a queue; by default the broker is asked."""
        self._app = app
        self._length = length or self._ask_length
        self._clock = clock
        self._lengths: dict[str, tuple[float, int]] = {}

    def send(self, name: str) -> bool:
        """Send one wake-up, without a retry, since the next one comes anyway. Return False if enough are waiting.
        Raises the broker's error."""
        queue = queue_of(WAKE_UPS[name].kind)
        if self._waiting(queue) >= MANY:
            return False
        self._app.send_task(name, queue=queue, ignore_result=True, retry=False)
        return True

    def _waiting(self, queue: str) -> int:
        at, length = self._lengths.get(queue, (None, 0))
        now = self._clock()
        if at is None or now - at > REMEMBERED:
            length = self._length(queue)
            self._lengths[queue] = now, length
        return length

    def _ask_length(self, queue: str) -> int:
        """Return the queue's length. Declaring a queue again changes nothing, and every kind of broker answers with its
        length."""
        with self._app.connection_or_acquire() as connection:
            connection.connect()  # tries once; `default_channel` alone would try for ever
            declared: Any = direct_queue(queue).bind(connection.default_channel).queue_declare()
        return int(declared.message_count)


class Waker:
    """A callable for the wake-ups that a commit causes."""

    def __init__(self, send: Callable[[str], object], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._send_one = send
        self._unsent = FailureLog(clock)
        self._clock = clock
        self._due: set[str] = set()
        self._sent_at: dict[str, float] = {}
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def __call__(self, names: Iterable[str]) -> None:
        """Collect them, to be sent by the thread. Returns at once."""
        with self._changed:
            self._due.update(names)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="waker", daemon=True)
                self._thread.start()
            self._changed.notify()

    def _run(self) -> None:
        while True:
            for name in sorted(self._wait()):
                self._sent_at[name] = self._clock()
                self._send(name)

    def _wait(self) -> set[str]:
        """Wait for wake-ups that may be sent, and take them."""
        with self._changed:
            while True:
                now = self._clock()
                waits = {name: self._sent_at.get(name, now - ONCE_IN) + ONCE_IN - now for name in self._due}
                ready = {name for name, wait in waits.items() if wait <= 0}
                if ready:
                    self._due -= ready
                    return ready
                self._changed.wait(min(waits.values(), default=None))

    def _send(self, name: str) -> None:
        try:
            sent = self._send_one(name)
        except Exception as error:  # noqa: BLE001  (whatever the broker does, runners look without a wake-up)
            self._unsent.log_failure(
                f"{name} not sent: {type(error).__name__}; workers find due work without it"
            )
        else:
            if sent is not False:  # otherwise enough are waiting already
                self._unsent.note_success()
