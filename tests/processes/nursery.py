"""Start our commands in processes of their own, without waiting for their imports: forked from one that has done
them."""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

#: Names the directory through which the processes of a tree share their counters.
_COUNTERS = "PROMETHEUS_MULTIPROC_DIR"
_SCRIPT = """
import importlib, json, os, sys
from orchestrator.cli import main
from orchestrator.processes import run as processes

def start(module, arguments, env, cwd, log):
    os.setsid()
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    said = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(said, 1)
    os.dup2(said, 2)
    sys.argv = ["orchestrator", *arguments]
    sys.modules[module].main()

for line in sys.stdin:
    asked = json.loads(line)
    if "look_at" in asked:
        pid, status = os.waitpid(asked["look_at"], os.WNOHANG)
        print(json.dumps(os.waitstatus_to_exitcode(status) if pid else None), flush=True)
        continue
    importlib.import_module(asked["module"])
    if pid := os.fork():
        print(pid, flush=True)
    else:
        start(**asked)
"""


class Nursery:
    """Made once; every child leads a session of its own, as one that a terminal starts does."""

    def __init__(self, counters: Path | None = None) -> None:
        """`counters`: where the processes of each child share their counters; None: a child counts in its own memory
        alone, since the metrics library decides on that as it is imported."""
        self._counters = counters
        self._lock = threading.Lock()
        self._mother = subprocess.Popen(
            [sys.executable, "-c", _SCRIPT],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env=None if counters is None else {**os.environ, _COUNTERS: str(counters)},
        )

    def start(
        self,
        arguments: Sequence[str],
        env: Mapping[str, str],
        cwd: Path,
        log: Path,
        module: str = "orchestrator.cli.main",
    ) -> "Nursling":
        """Start `orchestrator ARGUMENTS`, or the main of another module, with this environment and no other."""
        shares = {} if self._counters is None else {_COUNTERS: tempfile.mkdtemp(dir=self._counters)}
        order = {"arguments": list(arguments), "env": {**env, **shares}, "cwd": str(cwd), "log": str(log)}
        return Nursling(self, self.ask({"module": module, **order}))

    def ask(self, order: Mapping[str, Any]) -> Any:
        """Send one line; return one line."""
        assert self._mother.stdin is not None
        assert self._mother.stdout is not None
        with self._lock:
            self._mother.stdin.write(json.dumps(order) + "\n")
            self._mother.stdin.flush()
            return json.loads(self._mother.stdout.readline())

    def close(self) -> None:
        """Close it. The caller ends what still runs."""
        self._mother.communicate()


class Nursling:
    """The part of `subprocess.Popen` that tests need."""

    def __init__(self, nursery: Nursery, pid: int) -> None:
        self._nursery = nursery
        self._code: int | None = None
        self.pid = pid

    def poll(self) -> int | None:
        """Return the exit code, or None while it runs."""
        if self._code is None:
            self._code = self._nursery.ask({"look_at": self.pid})
        return self._code

    def wait(self, timeout: float) -> int:
        """Return the exit code."""
        give_up_at = time.monotonic() + timeout
        while (code := self.poll()) is None:
            assert time.monotonic() < give_up_at, f"process {self.pid} does not end"
            time.sleep(0.02)
        return code
