"""A directory for the logs of a run: they are kept when it fails; processes that count as installed ones do."""

import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes.conftest import _failed, pytest_runtest_makereport
from tests.processes.nursery import Nursery

pytestmark = pytest.mark.chaos

__all__ = ["pytest_runtest_makereport"]


@pytest.fixture(scope="session")
def nursery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    """Return a process that imports once for all tests. What it starts serves the counters of all its processes."""
    nursery = Nursery(counters=tmp_path_factory.mktemp("counters"))
    yield nursery
    nursery.close()


@pytest.fixture
def keeps_logs(request: pytest.FixtureRequest) -> Iterator[Path]:
    """Return a directory for one run."""
    directory = Path(tempfile.mkdtemp(prefix="chaos-"))
    yield directory
    if request.node.stash.get(_failed, False):
        sys.stderr.write(f"the logs of all processes are in {directory}\n")
    else:
        shutil.rmtree(directory, ignore_errors=True)
