"""Any OpenAI-compatible server under test."""

from tests.drivers.under_test import PlatformUnderTest

PLATFORMS = (
    PlatformUnderTest(
        driver="openai",
        open_operation="models",
        opens=False,
        long_lists=(("models", "open"),),
        may_lack_key=True,
        serves_one_model=True,
    ),
)
