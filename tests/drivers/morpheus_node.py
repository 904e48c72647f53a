"""A Morpheus consumer node under test."""

from orchestrator.providers.port.errors import ProviderFull
from tests.drivers.under_test import PlatformUnderTest

#: The simulated node's own description.
WALLET = "0x" + "ab" * 20

PLATFORMS = (
    PlatformUnderTest(
        driver="morpheus-node",
        options={"user": WALLET, "open_within_seconds": 1, "list_lag_seconds": 0},
        story_options={"open_within_seconds": 60, "nonce_rest_seconds": 0.1},
        open_operation="open",
        opens_anew=True,
        unknown_model=ProviderFull,
        says_expired=True,
        streams=True,
    ),
)
