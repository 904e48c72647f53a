"""How a process reports that it lives: one row, written every few seconds by a thread of its own."""

import logging
import mmap
import os
import random
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

from orchestrator import __version__
from orchestrator.rules.installation.liveness import KINDS, SCHEDULER
from orchestrator.rules.values import Worker
from orchestrator.store.database import Database, StoreError
from orchestrator.store.transaction import Transaction

log = logging.getLogger(__name__)

#: Seconds between two reports, varied by a fifth.
EVERY, VARIED = 3.0, 0.2
#: Rows of processes that have not reported for this long are deleted.
KEPT = timedelta(days=1)
#: Reports between two such deletions.
_DELETE_EACH = 1000
#: A fault's text is cut to this length.
LONGEST_FAULT = 200

_INSTANT, _PLACES = struct.Struct("d"), (*KINDS, SCHEDULER)
_restarts = 0


def started_again(times: int) -> None:
    """Record in this process how many times its tree has started it before."""
    global _restarts
    _restarts = times


class SharedBeats:
    """When the heartbeat of each kind of process last ran, in memory that a process shares with those it forks."""

    def __init__(self) -> None:
        self._at: mmap.mmap | None = None

    def expect(self, kinds: Iterable[str]) -> None:
        """Begin to keep it, before the forks; these kinds start now."""
        self._at = mmap.mmap(-1, _INSTANT.size * len(_PLACES))
        for kind in kinds:
            self.note(kind)

    def note(self, kind: str) -> None:
        """Note that the heartbeat of this kind runs, if it is kept."""
        if self._at is not None:
            _INSTANT.pack_into(self._at, _INSTANT.size * _PLACES.index(kind), time.monotonic())

    def seconds_since(self, kind: str) -> float:
        """Return the seconds since its heartbeat last ran. All processes of a machine have one monotonic clock."""
        assert self._at is not None, "expect() comes first"
        at: float = _INSTANT.unpack_from(self._at, _INSTANT.size * _PLACES.index(kind))[0]
        return time.monotonic() - at


#: Those of the tree to which this process belongs.
BEATS = SharedBeats()


class Pulse:
    """When this process last did each kind of thing, by its monotonic clock. Threads may share it."""

    def __init__(self, kind: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.kind = kind
        self._clock = clock
        self._began = clock()
        self._wake_up: float | None = None
        self._claim: float | None = None
        self._sent: float | None = None
        self._fault: str | None = None

    def note_wake_up(self) -> None:
        """Note that the broker has delivered a wake-up."""
        self._wake_up = self._clock()

    def note_claim(self) -> None:
        """Note that a run has claimed rows."""
        self._claim = self._clock()

    def note_sent(self) -> None:
        """Note that the broker has accepted a wake-up."""
        self._sent = self._clock()

    def note_failure(self, what: str, error: BaseException) -> None:
        """Note a failure here. Only its kind is kept, for a message may hold a secret."""
        self._fault = f"{what}: {type(error).__name__}"[:LONGEST_FAULT]

    def report(self, worker_id: str, now: datetime, wall: float) -> Worker:
        """Return this process as a row. `now`: the store's clock; `wall`: this machine's, in seconds since 1970."""
        tick = self._clock()

        def at(instant: float | None) -> datetime | None:
            return None if instant is None else now - timedelta(seconds=tick - instant)

        return Worker(
            id=worker_id,
            kind=self.kind,
            host=socket.gethostname(),
            pid=os.getpid(),
            version=__version__,
            started_at=now - timedelta(seconds=tick - self._began),
            seen_at=now,
            clock_offset_seconds=round(wall - now.timestamp(), 3),
            restarts=_restarts,
            last_wake_up_at=at(self._wake_up),
            last_claim_at=at(self._claim),
            last_sent_at=at(self._sent),
            last_fault=self._fault,
        )


class Heartbeat:
    """The thread that writes the row. While the database is down, only reports are lost."""

    def __init__(
        self, database: Callable[[], Database], pulse: Pulse, *, wall: Callable[[], float] = time.time
    ) -> None:
        """Prepare the thread. `database` may raise while the process cannot be built."""
        self._database = database
        self._pulse = pulse
        self._wall = wall
        self._id: str | None = None
        self._reports = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Report now and from now on."""
        self._thread.start()

    def beat(self) -> None:
        """Report once. Raises the database's error."""
        database = self._database()
        self._id = self._id or database.identity.new_token()
        database.transact(self._report)
        self._reports += 1

    def leave(self) -> None:
        """Delete the row, since this process ends in order."""
        self._end()
        try:
            if self._id is not None:
                worker_id = self._id
                self._database().transact(lambda tx: tx.workers.leave(worker_id))
        except StoreError as error:
            log.debug("cannot delete the row of this process: %s", type(error).__name__)

    def report_death(self, what: str, error: BaseException) -> None:
        """Note in the row that an error ends this process."""
        self._pulse.note_failure(what, error)
        self._end()
        self._guarded()

    def _end(self) -> None:
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(5)

    def _run(self) -> None:
        while not self._ended.is_set():
            BEATS.note(self._pulse.kind)
            self._guarded()
            self._ended.wait(EVERY * (1 + VARIED * random.uniform(-1, 1)))

    def _guarded(self) -> None:
        try:
            self.beat()
        except Exception as error:  # noqa: BLE001  (the work of this process logs the outage)
            log.debug("this process cannot report: %s", type(error).__name__)

    def _report(self, tx: Transaction) -> None:
        assert self._id is not None
        now = tx.now()
        tx.workers.report(self._pulse.report(self._id, now, self._wall()))
        if self._reports % _DELETE_EACH == 0:
            tx.workers.forget_before(now - KEPT)
