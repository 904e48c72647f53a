"""AIMLAPI under test."""

from tests.drivers.under_test import PlatformUnderTest

PLATFORMS = (
    PlatformUnderTest(driver="aimlapi", open_operation="key", opens=False, long_lists=(("models", "open"),)),
)
