"""Attempts to have a session served."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from orchestrator.rules.states import PlacementState
from orchestrator.rules.values.leases import Due, Lease
from orchestrator.rules.values.models import ModelType
from orchestrator.rules.values.sessions import Attach


class RefusedBy(StrEnum):
    """How far a definite refusal of an open reaches."""

    CREDENTIAL = "credential"
    PROVIDER = "provider"


@dataclass(frozen=True, kw_only=True, slots=True)
class Placement:
    """One attempt to have a session served, at one provider, under one credential."""

    id: str
    session_id: str | None
    """None for an orphan: something live at a provider without a session of ours."""
    account_id: str | None
    n: int
    provider: str
    credential: str | None
    """The reference of the secret (`env:KEY_1`), never the secret."""
    fingerprint: str | None = None
    """The fingerprint of the secret at that time: where the key is the address, no other key may close it."""
    exclusive: bool = False
    serialised: bool = False
    """Whether its lifecycle calls run under a lease on the credential."""
    model_id: str
    provider_model_id: str
    model_type: ModelType
    nodes: int = 1
    price_per_node_hour: Decimal
    currency: str
    state: PlacementState
    options: Mapping[str, Any] = field(default_factory=dict)
    """Flags for the provider, from `provider_options`."""
    attach: Attach | None = None
    duration_seconds: int
    """The duration asked of the provider. Our own clock stops the session; the provider's end is a fallback."""
    handle: str | None = None
    candidate: str | None = None
    """A handle seen by a worker that had lost its lease; `resolve` reads it first."""
    endpoint_url: str | None = None
    endpoint_model: str | None = None
    endpoint_auth: str | None = None
    secret_ref: str | None = None
    created_at: datetime
    sent_at: datetime | None = None
    """When the open was first claimed; None: certainly nothing was sent."""
    freed_at: datetime | None = None
    """Where an open frees its key first: when the key was proven free. None: the open itself was not sent yet."""
    opened_at: datetime | None = None
    declared_end_at: datetime | None = None
    closing_since: datetime | None = None
    """When it was first to be closed."""
    lost_at: datetime | None = None
    """When its session, which ran here, was found dead and moved."""
    unproven_since: datetime | None = None
    """When a close was first tried without proof."""
    ended_at: datetime | None = None
    proof: str | None = None
    last_answer: str | None = None
    refused_by: RefusedBy | None = None
    """How far the refusal of its open reaches: another credential there may help, or not."""
    possible_orphans: bool = False
    orphans_at_most: int | None = None
    """How many unknown resources its opens may have left, where the platform's failures say so; such an open is
    closed, and never repeated to find out."""
    forced_at: datetime | None = None
    """When an operator ended it without the provider's proof: what it may have cost is counted until then."""
    forced_by: str | None = None
    forced_why: str | None = None
    ping_variant: str | None = None
    """The form of the ping that works here."""
    asleep_since: datetime | None = None
    """Scaled to zero when its status was last read: until the status changes, no ping may wake it."""
    due: Due | None = None
    lease: Lease | None = None
    attempts: int = 0
    revision: int = 0
