"""A directory for the logs of a run: they are kept when it fails."""

import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes.conftest import _failed, nursery, pytest_runtest_makereport

pytestmark = pytest.mark.chaos

__all__ = ["nursery", "pytest_runtest_makereport"]


@pytest.fixture
def keeps_logs(request: pytest.FixtureRequest) -> Iterator[Path]:
    """Return a directory for one run."""
    directory = Path(tempfile.mkdtemp(prefix="chaos-"))
    yield directory
    if request.node.stash.get(_failed, False):
        sys.stderr.write(f"the logs of all processes are in {directory}\n")
    else:
        shutil.rmtree(directory, ignore_errors=True)
