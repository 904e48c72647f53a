"""The measuring clock: seconds since the machine started, including the time that it slept."""

import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class Stopwatch:
    """A clock that measures. `boot` names the start of the machine from which `seconds` counts: two processes with the
    same `boot` may compare their measurements. It is empty where it is not known."""

    seconds: Callable[[], float]
    boot: str
    host: str


def machine_stopwatch() -> Stopwatch:
    """Return the measuring clock of this machine."""
    return Stopwatch(seconds=_measuring(), boot=_boot_id(), host=socket.gethostname())


def _measuring() -> Callable[[], float]:
    """Return a clock that counts sleep: CLOCK_BOOTTIME on Linux, CLOCK_MONOTONIC on macOS."""
    kind = getattr(time, "CLOCK_BOOTTIME", None) or getattr(time, "CLOCK_MONOTONIC", None)
    if kind is None:
        return time.monotonic
    return lambda: time.clock_gettime(kind)


def _boot_id() -> str:
    """Return the id of this boot. Return "" without CLOCK_BOOTTIME, since two processes may then have different
    zeros."""
    try:
        return _BOOT_ID.read_text().strip() if hasattr(time, "CLOCK_BOOTTIME") else ""
    except OSError:
        return ""
