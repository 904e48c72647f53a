"""CPU-seconds and memory of processes, from the kernel."""

import os
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")
_CPU_FIELDS = slice(11, 15)  # user and system time of the process, and of its children that have ended
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
    total = 0
    for pid in pids:
        with suppress(OSError):
            after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += sum(map(int, after_name[_CPU_FIELDS]))
    return total / _TICK


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
