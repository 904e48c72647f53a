"""The store's clock as one process trusts it, and the row through which all processes learn of a jump."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, Row, insert, select, text, update
from sqlalchemy.exc import SQLAlchemyError

from orchestrator.rules.installation import clock as rule
from orchestrator.rules.installation.clock import ClockReading, KnownTime, Measured, Trust
from orchestrator.store.core.stopwatch import Stopwatch
from orchestrator.store.plain import table_of

CLOCK = table_of("clock")
log = logging.getLogger(__name__)
Clock = Callable[[], datetime]

#: There is one row.
_ROW = 1
_MICROSECOND = timedelta(microseconds=1)
#: Seconds between two reads of the shared time by one process, and between two notes of it.
REFRESH_EVERY = 1.0
_NOTE_EVERY = timedelta(seconds=1)
#: If no new note appears for this long, no other process notes the time: workers do so more often. Seconds.
SILENCE = 5.0


class ClockRows:
    """The row of what is known of the clock, inside one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def known(self, *, lock: bool = False) -> KnownTime | None:
        """Return what all processes know; None before the first note."""
        query = select(CLOCK).where(CLOCK.c.n == _ROW)
        row = self._connection.execute(query.with_for_update() if lock else query).first()
        return None if row is None else _known(row)

    def write(self, before: KnownTime | None, after: KnownTime) -> None:
        """Save what is known from now on. If two processes write it first, one fails and reads it again."""
        mine = insert(CLOCK) if before is None else update(CLOCK).where(CLOCK.c.n == _ROW)
        self._connection.execute(mine.values(n=_ROW, **_columns(after)))


class ConnectionClock:
    """The trusted clock, read through one connection."""

    def __init__(self, clock: "StoreClock", connection: Connection) -> None:
        self._clock, self._connection = clock, connection

    def __call__(self) -> datetime:
        """Read the clock."""
        return self._clock.read(self._connection)

    def begin_reading(self) -> Callable[[datetime], datetime] | None:
        """Begin to read the clock together with rows, in one statement; None if reading it is no statement. What is
        returned makes the trusted time of the clock that the statement returned."""
        return self._clock.begin_reading() if self._clock.is_remote(self._connection) else None


class StoreClock:
    """Read the store's clock, and compare each reading with the measuring clock. The threads of a process share it."""

    def __init__(self, clock: Clock | None, stopwatch: Stopwatch, *, keeps: bool) -> None:
        """Prepare the clock. `keeps`: note the time, and its jumps, for all processes. Short-lived processes, like
        commands, only read it."""
        self._clock = clock
        self._stopwatch = stopwatch
        self._keeps = keeps
        self.refresh_every = REFRESH_EVERY
        self._lock = threading.Lock()
        self._looking = threading.RLock()
        self._looked = float("-inf")
        self._trust: Trust | None = None

    @property
    def jumped(self) -> bool:
        """Whether this process considers the store's clock wrong."""
        return self._trust is not None and self._trust.jumped

    def of(self, connection: Connection) -> "ConnectionClock":
        """Return the trusted clock, read through this connection."""
        return ConnectionClock(self, connection)

    def read(self, connection: Connection) -> datetime:
        """Return the trusted time by a reading through this connection."""
        return self._now(self._reading(connection))

    def is_remote(self, connection: Connection) -> bool:
        """Return whether each reading is a statement of its own."""
        return self._clock is None and connection.dialect.name != "sqlite"

    def begin_reading(self) -> Callable[[datetime], datetime]:
        """Return what takes the clock that a statement returns, which is executed meanwhile, and returns the trusted
        time."""
        before = self._stopwatch.seconds()
        return lambda raw: self._now(
            ClockReading(raw=raw.astimezone(UTC), before=before, after=self._stopwatch.seconds())
        )

    def lately(self) -> datetime | None:
        """Return the trusted time as this process measures it, without a statement; None before the first reading.
        It orders nothing: decisions read the clock under their locks."""
        with self._lock:
            trust = self._trust
        return None if trust is None else max(trust.last, trust.at(self._stopwatch.seconds()))

    def accepted(self, connection: Connection, known: KnownTime) -> KnownTime | None:
        """Return what all processes should know once an operator has accepted the clock's time; None if no jump is
        open."""
        trust, reading = self._met(connection, known)
        if not trust.jumped and known.jumped_at is None:
            return None
        self._looked = float("-inf")  # the next transaction here uses the accepted time
        return rule.accepted(known, trust, reading, self._stopwatch.boot)

    def as_it_is(self, connection: Connection, known: KnownTime) -> KnownTime:
        """Return the known time. Include a jump that this process measures right now, even if none is noted (for
        example because no worker runs)."""
        trust, reading = self._met(connection, known)
        return self._noted(known, trust, reading) if trust.jumped and known.jumped_at is None else known

    def look(self, engine: Engine) -> None:
        """Compare with the time that others noted, if that is due, in a transaction of its own; one thread at a
        time."""
        if self._stopwatch.seconds() - self._looked < self.refresh_every and self._trust is not None:
            return
        if not self._looking.acquire(blocking=self._trust is None):
            return
        try:
            self._meet(engine)
        except SQLAlchemyError as error:
            self._alone(engine, error)
        finally:
            self._looked = self._stopwatch.seconds()
            self._looking.release()

    def learn(self, engine: Engine, sleep: Callable[[float], None] = time.sleep) -> None:
        """Find out, before a worker begins, whether others still note the time. This is needed where another machine
        noted it long ago."""
        with engine.connect() as connection:
            rows, reading = ClockRows(connection), self._reading(connection)
            before = rows.known()
        if before is None or before.boot == self._stopwatch.boot or reading.raw - before.at <= rule.TOLERANCE:
            return
        sleep(SILENCE)
        with engine.connect() as connection:
            known, reading = ClockRows(connection).known(), self._reading(connection)
        alive = known is not None and known.beats != before.beats
        with self._lock:
            self._trust = rule.first_trust(known, reading, self._stopwatch.boot, alive=alive)

    def _now(self, reading: ClockReading) -> datetime:
        with self._lock:
            trust = self._trust or rule.trusted(reading)
            self._trust = rule.compared(trust, reading)
            if self._trust.jumped is not trust.jumped:
                self._looked = float("-inf")  # the next transaction notes it for all
            return self._trust.last

    def _reading(self, connection: Connection) -> ClockReading:
        before = self._stopwatch.seconds()
        raw = self._clock() if self._clock is not None else wall_clock(connection)
        return ClockReading(raw=raw, before=before, after=self._stopwatch.seconds())

    def _meet(self, engine: Engine) -> None:
        options: dict[str, Any] = {"orchestrator_read": True}
        with engine.connect().execution_options(**options) as connection, connection.begin():
            known = ClockRows(connection).known()
            trust, reading = self._met(connection, known)
        if self._keeps and (
            known is None or rule.is_news(known, self._noted(known, trust, reading), _NOTE_EVERY)
        ):
            with engine.begin() as connection:
                self._note(connection)

    def _note(self, connection: Connection) -> None:
        """Decide again on the row as it is now, under its lock, and write it."""
        rows = ClockRows(connection)
        known = rows.known(lock=True)
        trust, reading = self._met(connection, known)
        after = self._noted(known, trust, reading)
        if known is None or rule.is_news(known, after, _NOTE_EVERY):
            rows.write(known, after)
            with self._lock:
                self._trust = replace(self._trust or trust, beats=after.beats, accepted=after.accepted)

    def _met(self, connection: Connection, known: KnownTime | None) -> tuple[Trust, ClockReading]:
        reading = self._reading(connection)
        with self._lock:
            if known is None:
                self._trust = rule.compared(self._trust or rule.trusted(reading), reading)
            elif self._trust is None or self._trust.accepted is None:
                self._trust = rule.first_trust(known, reading, self._stopwatch.boot)
            else:
                self._trust = rule.met(self._trust, known, reading)
            return self._trust, reading

    def _noted(self, known: KnownTime | None, trust: Trust, reading: ClockReading) -> KnownTime:
        return rule.noted(known, trust, reading, self._stopwatch.boot, self._stopwatch.host)

    def _alone(self, engine: Engine, error: SQLAlchemyError) -> None:
        """Go by this process's own measurement if the row cannot be read, for example before its migration."""
        log.debug("the known time cannot be read: %s", type(error).__name__)
        if self._trust is None:
            with engine.connect() as connection:
                self._now(self._reading(connection))


_WALL_CLOCK = text("SELECT clock_timestamp()")


def wall_clock(connection: Connection) -> datetime:
    """Read the clock of the store's host: PostgreSQL's own, or this machine's for SQLite."""
    if connection.dialect.name == "sqlite":
        return datetime.now(UTC)
    at: datetime = connection.execute(_WALL_CLOCK).scalar_one()
    return at.astimezone(UTC)


def _known(row: Row[Any]) -> KnownTime:
    return KnownTime(
        at=row.at,
        boot=row.boot,
        boot_seconds=row.boot_seconds,
        beats=row.beats,
        jumped_at=row.jumped_at,
        correction=row.correction_microseconds * _MICROSECOND,
        seen_by=row.seen_by,
        accepted=row.accepted,
        corrected_at=row.corrected_at,
        shift=row.shift_microseconds * _MICROSECOND,
        correct_at=row.correct_at,
        others=tuple(
            Measured(at=datetime.fromisoformat(one["at"]), boot=one["boot"], seconds=one["seconds"])
            for one in row.others
        ),
    )


def _columns(known: KnownTime) -> dict[str, Any]:
    return {
        "at": known.at,
        "boot": known.boot,
        "boot_seconds": known.boot_seconds,
        "beats": known.beats,
        "jumped_at": known.jumped_at,
        "correction_microseconds": known.correction // _MICROSECOND,
        "seen_by": known.seen_by,
        "accepted": known.accepted,
        "corrected_at": known.corrected_at,
        "shift_microseconds": known.shift // _MICROSECOND,
        "correct_at": known.correct_at,
        "others": [
            {"at": one.at.isoformat(), "boot": one.boot, "seconds": one.seconds} for one in known.others
        ],
    }
