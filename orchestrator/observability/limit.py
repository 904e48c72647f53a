"""Log lines are bounded: an outage repeats the same lines for as long as it lasts, from our code and from libraries.

Of lines of one kind, the first few of each window are written, the others are counted, and one line says how many. A
kind is a logger, a level, a template and, for an exception, its type and where it was raised: no distinct error is ever
left out. The traceback of a kind is written once a window."""

import copy
import logging
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TextIO

#: Lines of one kind that are written in one window of this many seconds.
LINES, WINDOW = 3, 60.0
#: Kinds that are remembered; the oldest is forgotten first.
KINDS = 1000
#: Loggers with lines below a warning that are never repetitions: what happened to sessions is logged once each.
ONCE_EACH = frozenset({"orchestrator.flows.operations.deliver_events"})

#: What differs between two lines of one kind where a message was formatted before it was logged.
_PARTICULARS = re.compile(r"0x[0-9a-f]+|[0-9a-f]{8}[0-9a-f-]*|\d+(\.\d+)?", re.IGNORECASE)

#: Libraries that raise for a broker that is down or refuses.
_OF_THE_BROKER = frozenset({"redis", "kombu", "amqp", "vine"})

LineKind = tuple[object, ...]


@dataclass(slots=True)
class Window:
    """What was logged of one kind since `began`."""

    began: float
    record: logging.LogRecord
    written: int = 0
    suppressed: int = 0


class Limit:
    """What is written of each kind. Not safe to share between threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._windows: OrderedDict[LineKind, Window] = OrderedDict()
        self._looked_at = clock()

    def admitted(self, record: logging.LogRecord) -> Iterator[logging.LogRecord]:
        """Return the lines to write now: summaries that are due, and this record unless its kind has had its lines."""
        now = self._clock()
        if now - self._looked_at >= 1.0:
            self._looked_at = now
            yield from self._ended(now)
        if record.name in ONCE_EACH and record.levelno < logging.WARNING:
            yield record
            return
        window = self._window(_kind(record), record, now)
        if window.written >= LINES:
            window.suppressed += 1
            return
        window.written += 1
        first = window.written == 1 and not _of_the_broker(record)
        yield record if first else _without_traceback(record)

    def rest(self) -> Iterator[logging.LogRecord]:
        """Return the summaries of all that is still counted."""
        yield from self._ended(float("inf"))

    def _window(self, kind: LineKind, record: logging.LogRecord, now: float) -> Window:
        window = self._windows.get(kind)
        if window is None:
            window = self._windows[kind] = Window(began=now, record=record)
        return window

    def _ended(self, now: float) -> Iterator[logging.LogRecord]:
        """Return summaries of the windows that have ended, oldest first."""
        while self._windows:
            kind, window = next(iter(self._windows.items()))
            if now - window.began < WINDOW and len(self._windows) <= KINDS:
                return
            del self._windows[kind]
            if window.suppressed:
                yield _summary(window)


class BoundedHandler(logging.StreamHandler[TextIO]):
    """Writes to a stream what the limit admits."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(stream)
        self._limit = Limit(clock)
        self._deciding = threading.Lock()

    def emit(self, record: logging.LogRecord) -> None:
        with self._deciding:
            lines = list(self._limit.admitted(record))
        for line in lines:
            super().emit(line)

    def close(self) -> None:
        """Write the lines that are left, then close. `logging.shutdown` closes every handler, so this happens at the
        end too."""
        with self._deciding:
            lines = list(self._limit.rest())
        for line in lines:
            super().emit(line)
        super().close()


def _kind(record: logging.LogRecord) -> LineKind:
    template = _PARTICULARS.sub("#", str(record.msg))
    return (record.name, record.levelno, template, *_raised(record))


def _raised(record: logging.LogRecord) -> tuple[object, ...]:
    """Return the exception's type and the line that raised it."""
    if not record.exc_info or record.exc_info[1] is None:
        return ()
    trace = record.exc_info[1].__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = (trace.tb_frame.f_code.co_filename, trace.tb_lineno) if trace is not None else ()
    return (record.exc_info[0], *where)


def _of_the_broker(record: logging.LogRecord) -> bool:
    """Return whether the broker's libraries raised this. A broker that is down or full raises in each library and each
    process alike: the traceback through the library adds nothing."""
    kind = record.exc_info[0] if record.exc_info else None
    return kind is not None and kind.__module__.partition(".")[0] in _OF_THE_BROKER


def _without_traceback(record: logging.LogRecord) -> logging.LogRecord:
    """Return the record as one line. Its traceback was written with the first of its kind, or adds nothing."""
    if not record.exc_info or record.exc_info[0] is None:
        return record
    line = copy.copy(record)
    line.msg = f"{record.getMessage().strip()} ({record.exc_info[0].__name__}; without its traceback)"
    line.args, line.exc_info, line.exc_text = None, None, None
    return line


def _summary(window: Window) -> logging.LogRecord:
    """Return one line for those that were left out."""
    line = copy.copy(window.record)
    line.msg = "suppressed %d similar lines in %d s: %s"
    line.args = (window.suppressed, int(WINDOW), window.record.getMessage().partition("\n")[0][:200])
    line.exc_info, line.exc_text = None, None
    return line
