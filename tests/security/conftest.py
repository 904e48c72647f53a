"""A platform of real processes, as in tests/processes."""

import pytest

from tests.processes.conftest import nursery, platform_on, pytest_runtest_makereport

pytestmark = pytest.mark.slow

__all__ = ["nursery", "platform_on", "pytest_runtest_makereport"]
