"""The Morpheus gateway under test."""

from tests.drivers.under_test import PlatformUnderTest

PLATFORMS = (
    PlatformUnderTest(
        driver="morpheus",
        options={"close_retry_seconds": 0.01},
        keys=2,
        open_operation="open",
        long_lists=(("models", "open"),),
        ping_proves_close=True,
        says_expired=True,
    ),
)
