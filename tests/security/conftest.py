"""A platform of real processes, as in tests/processes."""

from tests.processes.conftest import nursery, platform_on, pytest_runtest_makereport

__all__ = ["nursery", "platform_on", "pytest_runtest_makereport"]
