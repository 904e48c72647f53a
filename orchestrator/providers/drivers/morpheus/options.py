"""The options of `[providers.NAME]` for the Morpheus gateway's driver, and what the gateway can do with them."""

from typing import Literal

from pydantic import Field

from orchestrator.providers.drivers.morpheus.slot import SHORTEST_SECONDS
from orchestrator.providers.port.card import Card, IdentityCard, LifecycleCard, StatusCard
from orchestrator.providers.shared.options import DriverOptions


class MorpheusOptions(DriverOptions):
    ping: Literal["chat", "native"] = "chat"
    """`native` is the gateway's own ping: it closes the session on any failure."""
    confirm_dead_with_pingsession: bool = False
    """Ping a session by it once more that is judged dead, where its close fails: it costs a completion."""
    close_attempts: int = Field(default=3, ge=1)
    """How often one call tries to free the key, before the flow's own backoff."""
    close_retry_seconds: float = Field(default=1, ge=0)
    node: str | None = Field(default=None, min_length=1)
    """Another provider of this configuration, a Morpheus node: asked what the chain has of a session, where the gateway
    does not say."""
    tries_below: int = Field(default=3, ge=1)
    """How often the gateway tries by itself within one open: after a failure this many sessions may live."""
    opens_settle_within_seconds: float = Field(default=900, ge=0)
    """After a lost answer the gateway may keep opening for this long: no resolve before."""


def card(options: MorpheusOptions) -> Card:
    return Card(
        lifecycle=LifecycleCard(
            repeats_open=True,
            asks_who_died=options.confirm_dead_with_pingsession,
            ping_can_close=options.ping == "native",
            shortest_duration_seconds=SHORTEST_SECONDS,
            resolve_after_seconds=options.opens_settle_within_seconds,
        ),
        identity=IdentityCard(
            needs_credential=True, exclusive_credentials=True, serialised=True, frees_key=True
        ),
        status=StatusCard(witness=options.node, witness_driver="morpheus-node"),
    )
