"""A session: what a user asked for, and its life so far."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any

from orchestrator.rules.states import ACTIVE, State, StopReason
from orchestrator.rules.values.amounts import ZERO
from orchestrator.rules.values.horizon import HORIZON
from orchestrator.rules.values.leases import Due, Lease

#: Stops that an extension can move: the other reasons are not limits of the session's own.
_EXTENDABLE = frozenset({StopReason.MAX_DURATION, StopReason.MAX_COST})


class OnQuota(StrEnum):
    """What happens to a session if there is no slot, no credential or no funds for it."""

    REJECT = "reject"
    QUEUE = "queue"


class Verdict(StrEnum):
    """The result of a ping of a placement."""

    ALIVE = "ALIVE"
    THROTTLED = "THROTTLED"
    LOADING = "LOADING"
    TRANSIENT = "TRANSIENT"
    GONE = "GONE"
    CREDENTIALS = "CREDENTIALS"
    OUT_OF_BALANCE = "OUT_OF_BALANCE"
    MISCONFIGURED = "MISCONFIGURED"


@dataclass(frozen=True, kw_only=True, slots=True)
class Attach:
    """An endpoint that was opened elsewhere, given by reference."""

    endpoint_url: str
    secret_ref: str
    model: str
    ends_at: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Session:
    """What a user asked for. It keeps its id, and the terms of its creation, for life."""

    id: str
    account_id: str
    model_id: str
    name: str
    description: str = ""
    nodes: int = 1
    state: State

    # what the user asked for
    max_duration_seconds: int | None = None
    max_interactions: int | None = None
    idle_seconds: int | None = None
    max_cost: Decimal | None = None
    failover: bool = False
    on_quota: OnQuota = OnQuota.REJECT
    provider_options: Mapping[str, Any] = field(default_factory=dict)
    pinned_provider: str | None = None
    pinned_credential: str | None = None
    attach: Attach | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    request_digest: str = ""
    """The digest of the create request, so that the same id with other content is a conflict."""
    admitted_under: Mapping[str, int] = field(default_factory=dict)
    """The numbers of its quota that were counted against: `max_sessions` at its creation, the others at its
    admission. What bound nothing is not there, and nothing is of a session that an earlier release admitted."""

    # its terms: limits as of creation, price, currency and block as of admission; later changes do not affect it
    model_max_duration_seconds: int | None = None
    model_max_interactions: int | None = None
    plan_max_duration_seconds: int = 86400
    price_per_node_hour: Decimal
    currency: str
    block_seconds: int = 60

    # its life so far
    created_at: datetime
    queued_at: datetime | None = None
    queue_deadline_at: datetime | None = None
    queue_reason: str | None = None
    """The error code of what a queued session waits for."""
    starting_at: datetime | None = None
    """The latest entry to STARTING."""
    running_at: datetime | None = None
    """The first good ping; durations count from here."""
    running_since: datetime | None = None
    """Set while RUNNING: the start of the current interval."""
    ran_microseconds: int = 0
    """Length of the RUNNING intervals before the current one."""
    interactions: int = 0
    last_interaction_at: datetime | None = None
    under_way: tuple[datetime, ...] = ()
    """When the interactions began that were reported to be under way and have not ended yet."""
    limit_reached_at: datetime | None = None
    """When the reported interactions reached a limit."""
    charged: Decimal = ZERO
    charges: int = 0
    """Postings so far: n of the next charge's key."""
    placements: int = 0
    """Placements so far: n of the newest one."""
    provider: str | None = None
    """The provider of the newest placement."""
    credential: str | None = None
    declared_end_at: datetime | None = None
    """When the provider says that the serving placement ends."""

    # its stop: as planned, and once decided, as it took effect
    stop_at: datetime | None = None
    """When the coming stop is decided."""
    idle_ends_at: datetime | None = None
    """When its idle time runs out, where that is its stop: it takes effect then, before it is decided."""
    stop_at_reason: StopReason | None = None
    warn_at: datetime | None = None
    warned_seconds: int | None = None
    """The nearest warning sent for the stop that is foreseen at present."""
    stop_reason: StopReason | None = None
    stop_detail: str | None = None
    stopped_at: datetime | None = None
    """The instant at which the stop took effect: cost ends there."""
    ended_at: datetime | None = None
    """When the last placement was proven closed."""
    deleted_at: datetime | None = None

    # results of its pings
    ping_at: datetime | None = None
    """When the next ping is due; None while there is nothing to ping."""
    last_ping_at: datetime | None = None
    last_verdict: Verdict | None = None
    last_latency_ms: int | None = None
    last_ping_detail: str | None = None
    last_alive_at: datetime | None = None
    """The last proof of life: a good ping or a reported success."""
    failures: int = 0
    failing_since: datetime | None = None
    gone_since: datetime | None = None
    """When the provider first said that it is gone; a second time confirms it."""
    expired_at: datetime | None = None
    """When it last said so, and that its time was over; what is older than `gone_since` counts no more."""
    loading_since: datetime | None = None
    unusable_since: datetime | None = None
    busy_since: datetime | None = None
    """Since when its server accepts pings, answers none, and is busy anyway."""
    busy_warned_at: datetime | None = None
    """When the first event reported that."""
    not_well_since: datetime | None = None
    """When the first ping since the last proof of life had a result other than ALIVE."""
    held_since: datetime | None = None
    """Since when a brake keeps it from being found dead; until the next proof of life."""

    due: Due | None = None
    lease: Lease | None = None
    attempts: int = 0
    """Claims since the last settle."""
    revision: int = 0

    @property
    def ends_at(self) -> datetime | None:
        """When the coming stop takes effect."""
        return idle_or_stop(self.stop_at_reason, self.idle_ends_at, self.stop_at)

    @property
    def extendable_until(self) -> datetime | None:
        """The latest instant to which an extension can move the coming stop; None if it cannot. With `failover`, the
        next placement serves beyond the declared end of this one."""
        can_move = self.state in ACTIVE and self.stop_at_reason in _EXTENDABLE
        if not can_move or self.running_at is None or self.ends_at is None:
            return None
        limits = (self.plan_max_duration_seconds, self.model_max_duration_seconds, HORIZON.total_seconds())
        longest = min(limit for limit in limits if limit is not None)
        latest = self.running_at + timedelta(seconds=longest)
        if self.declared_end_at is not None and not self.failover:
            latest = min(latest, self.declared_end_at)
        return latest if latest > self.ends_at else None

    @property
    def ever_ran(self) -> bool:
        return self.running_at is not None


def idle_or_stop(
    reason: StopReason | None, idle_ends_at: datetime | None, stop_at: datetime | None
) -> datetime | None:
    """Return when a planned stop takes effect: that of an idle time before it is decided."""
    return idle_ends_at if reason is StopReason.IDLE and idle_ends_at else stop_at
