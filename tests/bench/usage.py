"""CPU-seconds and memory of processes, from the kernel."""

import os
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")
_OF_CHILDREN = slice(13, 15)  # user and system time of the children that have ended
_CPU_TIME = 2  # CPUCLOCK_SCHED of the kernel
_MEBIBYTE = 1024


@dataclass
class Spent:
    """What passed between two moments. Filled at the end of `measured`."""

    cpu: float = 0.0
    """CPU-seconds."""
    wall: float = 0.0
    """Seconds."""


def cpu_seconds(pids: Collection[int]) -> float:
    """Return the CPU time of these processes so far, with that of their children that have ended."""
    return sum(map(_cpu_seconds, pids))


def _cpu_seconds(pid: int) -> float:
    """Read it in nanoseconds from the clock of the process; `stat` has hundredths of a second, and is read only for
    children that have ended."""
    with suppress(OSError):
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ended = sum(map(int, after_name[_OF_CHILDREN])) / _TICK
        return time.clock_gettime(_clock_of(pid)) + ended
    return 0.0


def _clock_of(pid: int) -> int:
    """Return the clock of the CPU time of a process, as `clock_getcpuclockid` of the C library makes it."""
    return (~pid << 3) | _CPU_TIME


@contextmanager
def measured(pids: Collection[int]) -> Iterator[Spent]:
    """Measure what these processes use while the block runs."""
    spent = Spent()
    cpu, wall = cpu_seconds(pids), time.perf_counter()
    yield spent
    spent.cpu, spent.wall = cpu_seconds(pids) - cpu, time.perf_counter() - wall


def pss_mib(pids: Collection[int]) -> float:
    """Return the memory of these processes in MiB; pages that several share are divided among them."""
    total = 0
    for pid in pids:
        with suppress(OSError):
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
            total += next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))
    return total / _MEBIBYTE


def open_files(pid: int) -> int:
    """Return how many descriptors a process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def below(pid: int) -> set[int]:
    """Return a process and all its descendants."""
    found = {pid}
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                found |= below(int(child))
    return found
