"""What a line of the table is given: servers that run, and a size."""

import json
import signal
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrator.settings.file_limit import raise_file_limit
from tests.bench.servers import CountingServer, nginx
from tests.bench.sizes import Size
from tests.bench.stage import Stage, stage
from tests.servers import Postgres

_ROOT = Path(__file__).parents[2]
#: Files that a process needs beside one for each call.
_OTHER_FILES = 300


@dataclass
class Run:
    """One run of the suite."""

    directory: Path
    server: CountingServer
    postgres: Postgres
    size: Size
    faults: list[str] = field(default_factory=list)
    """What could not be measured."""
    _made: list[str] = field(default_factory=list)

    @contextmanager
    def stage(self, name: str) -> Iterator[Stage]:
        """Yield an empty database with a broker."""
        with stage(self.directory / self._unique(name), self.server, self.postgres) as made:
            yield made

    @contextmanager
    def upstreams(self, delays_ms: Mapping[str, float]) -> Iterator[Mapping[str, str]]:
        """Yield base URLs of platforms that answer after this many milliseconds."""
        with nginx(self.directory / self._unique("nginx"), delays_ms) as urls:
            yield urls

    def _unique(self, name: str) -> str:
        self._made.append(name)
        return f"{name}-{len(self._made)}"


def peer(module: str, *arguments: object, given: str = "") -> dict[str, Any]:
    """Run a peer in a process of its own; return what it says. `given`: its input."""
    command = [sys.executable, "-m", f"tests.bench.peers.{module}", *map(str, arguments)]
    done = subprocess.run(command, cwd=_ROOT, input=given, capture_output=True, text=True, check=True)
    said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return said


def in_flight_at_most(wanted: int) -> int:
    """Return how many calls can be under way in a process, which a low limit of open files bounds. It is raised as far
    as the system allows, for the processes that are started from here too."""
    return min(wanted, raise_file_limit() - _OTHER_FILES)


def end_servers_on_sigterm() -> None:
    """Leave every block on SIGTERM as on an error, so that no server or worker of the run stays."""
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))


def middle(values: Sequence[float]) -> float:
    """Return the median."""
    return statistics.median(values)


def say(text: str) -> None:
    """Write a line of progress."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
