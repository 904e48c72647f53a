"""Processes of one tree share their counters through files: said before anything imports the library."""

import atexit
import os
import shutil
import tempfile

_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"


def prepare() -> None:
    """Make the directory for the files of this tree; it goes with the process that made it."""
    if _VARIABLE in os.environ:
        return
    directory = tempfile.mkdtemp(prefix="orchestrator-metrics-")
    os.environ[_VARIABLE] = directory
    owner = os.getpid()
    atexit.register(lambda: shutil.rmtree(directory, ignore_errors=True) if os.getpid() == owner else None)
