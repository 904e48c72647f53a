"""The simulated platforms, one line each in `PLATFORMS`.

openai, aimlapi                       always-on endpoints
morpheus, morpheus_sessions           the Morpheus gateway
morpheus_node, morpheus_chain         the Morpheus consumer node
sesterce, sesterce_fleet              inference instances
fpt                                   a studio with a plain JSON control API
huggingface, huggingface_hosting      dedicated endpoints
"""

from orchestrator.simulator.platform import Platform
from orchestrator.simulator.platforms import (
    aimlapi,
    fpt,
    huggingface,
    morpheus,
    morpheus_node,
    openai,
    sesterce,
)

PLATFORMS: dict[str, Platform] = {
    platform.kind: platform
    for platform in (
        openai.PLATFORM,
        aimlapi.PLATFORM,
        sesterce.PLATFORM,
        morpheus.PLATFORM,
        morpheus_node.PLATFORM,
        fpt.PLATFORM,
        huggingface.PLATFORM,
    )
}


def operations() -> frozenset[str]:
    """Return every name under which a fault can match a call."""
    named = (route.operation for platform in PLATFORMS.values() for route in platform.every_route)
    return frozenset(named) | {"unknown"}
