"""What a run ran on: machine, versions, commit."""

import json
import os
import platform
import subprocess
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

_LIBRARIES = ("aiohttp", "celery", "httpx", "httpx-aiohttp", "kombu", "psycopg", "redis", "sqlalchemy")
_ROOT = Path(__file__).parents[2]


def describe(postgres: str) -> dict[str, Any]:
    """Return the surroundings of a run. `postgres`: the version of its server."""
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _git("rev-parse", "HEAD")
        + ("+" if _git("status", "--porcelain", "--", "orchestrator") else ""),
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "load": round(os.getloadavg()[0], 1),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "postgresql": postgres,
        "libraries": {name: version(name) for name in _LIBRARIES},
    }


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=_ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def yardstick() -> float:
    """Return the CPU-seconds of a fixed piece of work: what a figure per CPU-second is measured in where two machines
    are compared. The best of five: others may disturb it and cannot help it."""
    return min(_work() for _ in range(5))


def _work() -> float:
    begun = time.process_time()
    document: dict[str, Any] = {str(n): [n, str(n), {"n": n}] for n in range(1_000)}
    for _ in range(60):
        document = json.loads(json.dumps(document))
    return time.process_time() - begun
