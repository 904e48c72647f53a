"""Repeated lines are bounded, and no distinct error is left out."""

import io
import logging
import sys

import pytest
from redis.exceptions import OutOfMemoryError

from orchestrator.observability.limit import LINES, ONCE_EACH, WINDOW, BoundedHandler


class Log:
    """A logger on a bounded handler, with a clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 0.0
        self._stream = io.StringIO()
        self.handler = BoundedHandler(self._stream, clock=lambda: self.now)
        self.handler.setFormatter(logging.Formatter("%(levelname)s %(name)s %(message)s"))

    def say(
        self,
        message: str,
        *args: object,
        level: int = logging.WARNING,
        name: str = "redis",
        raised: bool = False,
    ) -> None:
        exc_info = sys.exc_info() if raised else None
        self.handler.handle(logging.LogRecord(name, level, __file__, 1, message, args, exc_info))

    @property
    def lines(self) -> list[str]:
        return self._stream.getvalue().splitlines()


@pytest.fixture
def log() -> Log:
    return Log()


def test_the_first_lines_of_a_window_are_written_and_the_rest_is_counted(log: Log) -> None:
    for n in range(100):
        log.say("wake-up %s not sent", n)
    assert log.lines == [f"WARNING redis wake-up {n} not sent" for n in range(LINES)]
    log.now = WINDOW
    log.say("wake-up %s not sent", "x")
    summary, again = log.lines[LINES:]
    assert summary == f"WARNING redis suppressed {100 - LINES} similar lines in 60 s: wake-up 0 not sent"
    assert again == "WARNING redis wake-up x not sent"


def test_a_line_of_another_kind_brings_the_summary_that_is_due(log: Log) -> None:
    for _ in range(10):
        log.say("down")
    log.now = WINDOW + 1
    log.say("up again")
    assert log.lines[-2:] == [
        f"WARNING redis suppressed {10 - LINES} similar lines in 60 s: down",
        "WARNING redis up again",
    ]


def test_what_was_left_out_is_said_at_the_end_of_the_process(log: Log) -> None:
    for _ in range(10):
        log.say("down")
    log.handler.close()
    assert log.lines[-1].startswith(f"WARNING redis suppressed {10 - LINES} similar lines")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param({"name": "kombu"}, {"name": "redis"}, id="another logger"),
        pytest.param({"level": logging.WARNING}, {"level": logging.ERROR}, id="another level"),
        pytest.param({"message": "down"}, {"message": "read-only"}, id="another template"),
    ],
)
def test_distinct_lines_are_never_left_out(log: Log, one: dict[str, str], other: dict[str, str]) -> None:
    for _ in range(100):
        log.say(**{"message": "down", **one})  # type: ignore[arg-type]
    log.say(**{"message": "down", **other})  # type: ignore[arg-type]
    assert len(log.lines) == LINES + 1


def test_messages_that_were_formatted_before_are_of_one_kind(log: Log) -> None:
    for n in range(100):
        log.say(f"session 01890a5d-ac96-774b-bcce-b302099a80{n:02} of 127.0.0.1:{n} is not settled")
    assert len(log.lines) == LINES


def test_a_traceback_is_written_once_and_another_place_is_another_kind(log: Log) -> None:
    def fail(kind: type[Exception]) -> None:
        raise kind("boom")

    for kind in (ValueError, KeyError):
        for _ in range(10):
            try:
                fail(kind)
            except (ValueError, KeyError):
                log.say("work failed", level=logging.ERROR, raised=True)
    assert sum(line.startswith("Traceback") for line in log.lines) == 2
    assert log.lines.count("ERROR redis work failed (ValueError; without its traceback)") == LINES - 1


def test_an_error_of_the_broker_has_no_traceback(log: Log) -> None:
    def refuse() -> None:
        raise OutOfMemoryError("command not allowed")

    try:
        refuse()
    except OutOfMemoryError:
        log.say("Error in timer", level=logging.ERROR, raised=True)
    assert log.lines == ["ERROR redis Error in timer (OutOfMemoryError; without its traceback)"]


def test_events_are_logged_once_each_and_never_counted(log: Log) -> None:
    (name,) = ONCE_EACH
    for n in range(100):
        log.say("%s stopped", n, level=logging.INFO, name=name)
    assert len(log.lines) == 100


def test_kinds_without_end_are_forgotten_and_all_are_written(log: Log) -> None:
    for n in range(5000):
        log.now = n / 10
        log.say("x" * n)
    assert len(log.lines) == 5000
    assert len(log.handler._limit._windows) <= 1011
