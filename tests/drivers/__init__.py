"""The platforms under test: for each registered driver one file of its name, with its `PLATFORMS`."""

from importlib import import_module

from orchestrator.providers.registry import DRIVERS
from tests.drivers.under_test import PlatformUnderTest
from tests.upstreams import MODEL

__all__ = ["MODEL", "PLATFORMS", "PlatformUnderTest", "platform_of"]

PLATFORMS: tuple[PlatformUnderTest, ...] = tuple(
    platform
    for driver in DRIVERS
    for platform in import_module(f"{__name__}.{driver.replace('-', '_')}").PLATFORMS
)


def platform_of(name: str) -> PlatformUnderTest:
    return next(platform for platform in PLATFORMS if platform.name == name)
