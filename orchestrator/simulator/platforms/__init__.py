"""The simulated platforms: one file each, one line here."""

from orchestrator.simulator.platform import Platform
from orchestrator.simulator.platforms import aimlapi, fpt, morpheus, morpheus_node, openai, sesterce

PLATFORMS: dict[str, Platform] = {
    platform.kind: platform
    for platform in (
        openai.PLATFORM,
        aimlapi.PLATFORM,
        sesterce.PLATFORM,
        morpheus.PLATFORM,
        morpheus_node.PLATFORM,
        fpt.PLATFORM,
    )
}


def operations() -> frozenset[str]:
    """Every name under which a fault can match a call."""
    named = (route.operation for platform in PLATFORMS.values() for route in platform.every_route)
    return frozenset(named) | {"unknown"}
