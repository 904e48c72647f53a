"""Machines with wall clocks that can be set, each to a time of its own; their monotonic clocks continue as they are."""

import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import time_machine

from orchestrator.cli import main as ours

#: Debian's package `libfaketime` installs it there.
LIBRARY = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), Path("libfaketime.so.1"))
#: The main module of a process of ours on such a machine: platform.start("worker", module=SKEWED, **clock.of_ours()).
SKEWED = "tests.clocks"
_FILE = "TEST_CLOCK"
#: Seconds between two reads of its machine's clock by a process.
_EVERY = 0.1


class Clock:
    """The wall clock of one machine."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.is_off(0)

    def is_off(self, seconds: float) -> None:
        """Set the clock off by so much from now on."""
        self.ahead = seconds
        aside = self._path.with_suffix(".new")
        aside.write_text(f"{seconds:+f}\n")
        aside.chmod(0o644)  # a server may run under another account
        aside.replace(self._path)

    def of_ours(self) -> dict[str, str]:
        """Return the environment of a process of ours on this machine."""
        return {_FILE: str(self._path)}

    def of_server(self) -> dict[str, str]:
        """Return the environment of any other program there."""
        assert LIBRARY.exists(), "install Debian's package libfaketime: .ci/install"
        return {
            "LD_PRELOAD": str(LIBRARY),
            "FAKETIME_TIMESTAMP_FILE": str(self._path),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }


@contextmanager
def clock() -> Iterator[Clock]:
    """Return a clock that is right."""
    with tempfile.TemporaryDirectory(prefix="orchestrator-clock-") as directory:
        Path(directory).chmod(0o755)
        yield Clock(Path(directory) / "clock")


class _Followed:
    """The clock of this machine, as the processes on it see it. (libfaketime breaks Python's `time.sleep`.)"""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._traveller = time_machine.travel(time.time(), tick=True).start()
        self._set(self._read())

    def follow(self) -> None:
        """Set this process's clock whenever the machine's is set."""
        threading.Thread(target=self._follow, name="clock", daemon=True).start()

    def _follow(self) -> None:
        while True:
            time.sleep(_EVERY)
            ahead = self._read()
            if ahead != self._ahead:
                self._set(ahead)

    def _set(self, ahead: float) -> None:
        """Set the clock by the true time: what the start of the traveller took would stay as an error of seconds."""
        self._ahead = ahead
        self._traveller.shift(time_machine.escape_hatch.time.time() + ahead - time.time())

    def _read(self) -> float:
        return float(self._path.read_text())


def main() -> None:
    """Run the command line, and whatever it forks, under the machine's clock."""
    followed = _Followed(Path(os.environ[_FILE]))
    os.register_at_fork(after_in_child=followed.follow)
    followed.follow()
    ours.main()
