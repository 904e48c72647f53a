"""The simulated platforms: one file each, one line here."""

from orchestrator.simulator.platform import Platform
from orchestrator.simulator.platforms import morpheus, openai

PLATFORMS: dict[str, Platform] = {
    platform.kind: platform
    for platform in (
        openai.PLATFORM,
        morpheus.PLATFORM,
    )
}


def operations() -> frozenset[str]:
    """Every name under which a fault can match a call."""
    named = (route.operation for platform in PLATFORMS.values() for route in platform.routes)
    return frozenset(named) | {"unknown"}
