"""Frozen snapshots: what rules are told, and what leaves the store. Rows never do.

Times are aware and in UTC; money is `Decimal` in the named currency; durations are seconds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from orchestrator.rules.states import PlacementState, State, Step, StopReason

ZERO = Decimal(0)


class ModelType(StrEnum):
    LLM = "LLM"
    VLM = "VLM"
    ASR = "ASR"


class ModelSource(StrEnum):
    CATALOG = "catalog"
    PRIVATE = "private"


class OnQuota(StrEnum):
    """What a session does that lacks a slot, a credential or funds."""

    REJECT = "reject"
    QUEUE = "queue"


class Verdict(StrEnum):
    """What a ping says of a placement."""

    ALIVE = "ALIVE"
    THROTTLED = "THROTTLED"
    LOADING = "LOADING"
    TRANSIENT = "TRANSIENT"
    GONE = "GONE"
    CREDENTIALS = "CREDENTIALS"
    OUT_OF_BALANCE = "OUT_OF_BALANCE"
    MISCONFIGURED = "MISCONFIGURED"


class RefusedBy(StrEnum):
    """How far a definite refusal of an open reaches."""

    CREDENTIAL = "credential"
    PROVIDER = "provider"


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """`[policy]` of the configuration, with a provider's own values laid over it."""

    ping_interval_seconds: float = 30
    ping_timeout_seconds: float = 30
    ping_max_tokens: int = 16
    dead_after_failures: int = 3
    dead_after_seconds: float = 60
    start_timeout_seconds: float = 1200
    open_timeout_seconds: float = 420
    resolve_after_seconds: float = 600
    close_timeout_seconds: float = 120
    close_retry_max_seconds: float = 600
    cleanup_debt_after_seconds: float = 600
    brake_release_successes: int = 3
    brake_max_seconds: float = 1800
    unusable_after_seconds: float = 900
    credential_rest_seconds: float = 30
    max_placements: int = 3
    reconcile_every_seconds: float = 300
    reconcile_min_age_seconds: float = 300
    reconcile_confirm_seconds: float = 60
    reconcile_clock_skew_seconds: float = 300
    reconcile_min_count: int = 2
    reconcile_max_share: float = 0.5
    warn_before_stop_seconds: tuple[int, ...] = (900, 300, 60)


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """`[plans.NAME]` of the configuration. A quota that is None does not bind."""

    name: str
    max_sessions: int | None = None
    max_concurrent: int | None = None
    max_nodes: int | None = None
    """Of one session."""
    max_nodes_total: int | None = None
    """Of all that start, run or stop."""
    overdraft_limit: Decimal = ZERO
    """How far the balance may go below zero."""
    max_duration_seconds: int = 86400
    min_funded_seconds: int = 600
    billing_block_seconds: int = 60
    queue_timeout_seconds: int = 3600


@dataclass(frozen=True, kw_only=True, slots=True)
class Account:
    id: str
    plan: str
    currency: str
    balance: Decimal
    """Cache of the ledger: credits less posted charges. Cost since the last posting is not in it."""
    quota: Mapping[str, int | None] = field(default_factory=dict)
    """Its own numbers in place of its plan's, by their names there; None: no limit."""
    overdraft_limit: Decimal | None = None
    """None: its plan's."""
    funds_end_at: datetime | None = None
    """The first block boundary that the balance cannot pay; None where nothing runs."""
    funds_session_id: str | None = None
    """Whose block begins there: that session stops."""
    warned_seconds: int | None = None
    """The nearest low-balance warning sent in this shortage."""
    next_charge_at: datetime | None = None
    """The hourly posting, while something runs."""
    last_admitted_at: datetime | None = None
    next_step: Step | None = None
    next_step_at: datetime | None = None
    revision: int = 0
    created_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Model:
    """What a session serves: the fields of `[[models]]`."""

    id: str
    providers: tuple[str, ...]
    """In order of preference."""
    provider_model_ids: Mapping[str, str]
    """What each provider calls it."""
    type: ModelType
    size: str
    """Number of parameters as written by people (`8B`, `0.5B`, `350M`)."""
    learning_stage: str
    source: ModelSource = ModelSource.CATALOG
    owner: str | None = None
    files_uploaded: bool = False
    tags: tuple[str, ...] = ()
    price_per_node_hour: Decimal
    currency: str
    max_duration_seconds: int | None = None
    max_interactions: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Attach:
    """An endpoint that somebody else opened, given by reference."""

    endpoint_url: str
    secret_ref: str
    model: str
    ends_at: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Session:
    """What a user asked for; keeps its id for life, and the terms of its creation."""

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
    """Of the create request, so that the same id with other content is a conflict."""
    admitted_under: Mapping[str, int] = field(default_factory=dict)
    """The numbers of its quota that were counted against: `max_sessions` at its creation, the others at its
    admission. What bound nothing is not there, and nothing is of a session that an earlier release admitted."""

    # its terms: limits as at creation, price, currency and block as at admission; later changes do not reach back
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
    limit_reached_at: datetime | None = None
    """When the reported interactions reached a limit."""
    charged: Decimal = ZERO
    charges: int = 0
    """Postings so far: n of the next charge's key."""
    placements: int = 0
    """Placements so far: n of the newest one."""
    provider: str | None = None
    """Of the newest placement."""
    credential: str | None = None
    declared_end_at: datetime | None = None
    """When the provider says that the serving placement ends."""

    # its stop: foreseen, and once decided, what took effect
    stop_at: datetime | None = None
    stop_at_reason: StopReason | None = None
    warn_at: datetime | None = None
    warned_seconds: int | None = None
    """The nearest warning sent for the present `stop_at`."""
    stop_reason: StopReason | None = None
    stop_detail: str | None = None
    stopped_at: datetime | None = None
    """The instant at which the stop took effect: cost ends there."""
    ended_at: datetime | None = None
    """When the last placement was proven closed."""
    deleted_at: datetime | None = None

    # what its pings say
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
    """The first of two sights that the provider says it is gone."""
    loading_since: datetime | None = None
    unusable_since: datetime | None = None

    next_step: Step | None = None
    next_step_at: datetime | None = None
    lease_token: str | None = None
    leased_at: datetime | None = None
    lease_until: datetime | None = None
    attempts: int = 0
    """Claims since the last settle."""
    revision: int = 0

    @property
    def ever_ran(self) -> bool:
        return self.running_at is not None


@dataclass(frozen=True, kw_only=True, slots=True)
class Placement:
    """One attempt to have a session served, at one provider, under one credential."""

    id: str
    session_id: str | None
    """None: an orphan, something live at a provider that no session of ours stands for."""
    account_id: str | None
    n: int
    provider: str
    credential: str | None
    """The reference of the secret (`env:KEY_1`), never the secret."""
    fingerprint: str | None = None
    """Of the secret behind it at that time: where the key is the address, no other key may close it."""
    exclusive: bool = False
    serialised: bool = False
    """Its lifecycle calls run under a lease on the credential."""
    model_id: str
    provider_model_id: str
    model_type: ModelType
    nodes: int = 1
    price_per_node_hour: Decimal
    currency: str
    state: PlacementState
    options: Mapping[str, Any] = field(default_factory=dict)
    """Upstream's own flags, from `provider_options`."""
    attach: Attach | None = None
    duration_seconds: int
    """What the provider is asked for: its end is only the backstop of our own clock."""
    handle: str | None = None
    candidate: str | None = None
    """A handle seen by a worker that had lost its lease; `resolve` looks at it first."""
    endpoint_url: str | None = None
    endpoint_model: str | None = None
    endpoint_auth: str | None = None
    secret_ref: str | None = None
    created_at: datetime
    sent_at: datetime | None = None
    """When the open was first claimed; None: certainly nothing was sent."""
    opened_at: datetime | None = None
    declared_end_at: datetime | None = None
    closing_since: datetime | None = None
    """When its end was first wanted."""
    lost_at: datetime | None = None
    """When its session, which ran here, was held for dead and moved on."""
    unproven_since: datetime | None = None
    """When a close was first tried without proof."""
    ended_at: datetime | None = None
    proof: str | None = None
    last_answer: str | None = None
    refused_by: RefusedBy | None = None
    """Who refused to open it: another credential there may help, or not."""
    possible_orphans: bool = False
    forced_at: datetime | None = None
    """When an operator ended it without the provider's proof: what it may have cost is counted until then."""
    forced_by: str | None = None
    forced_why: str | None = None
    ping_variant: str | None = None
    """The working rung of the ping's ladder."""
    next_step: Step | None = None
    next_step_at: datetime | None = None
    lease_token: str | None = None
    lease_until: datetime | None = None
    attempts: int = 0
    revision: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Credential:
    """One secret in a provider's key ring, by reference."""

    id: str
    provider: str
    ref: str
    exclusive: bool
    serialised: bool
    fingerprint: str
    retired: bool = False
    paused_since: datetime | None = None
    paused_reason: str | None = None
    resting_until: datetime | None = None
    cool_until: datetime | None = None
    """The provider said so long to wait: nothing but closes until then."""
    checked_at: datetime | None = None
    """When a paused one was last tried."""
    last_used_at: datetime | None = None
    lease_token: str | None = None
    lease_until: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Brake:
    """A provider, or one credential of it, that is held to be at fault."""

    scope: str
    provider: str
    credential: str | None
    """None: the whole provider."""
    since: datetime
    until: datetime
    """It lifts then at the latest."""
    reason: str
    successes: int = 0
    """Sessions in doubt there that answered well since."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sighting:
    """What the last list under one key showed that needs a second look."""

    provider: str
    credential: str
    """The key's reference; empty: without one."""
    handle: str
    missing: bool
    """Ours, and not listed; otherwise listed, and not known as ours."""
    since: datetime
    """Of the first of the sights in a row, on our clock."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Meter:
    """What one provider's pings have cost us, and what its own account holds."""

    provider: str
    pings: int = 0
    tokens: int = 0
    cost_usd: Decimal = ZERO
    balance: Decimal | None = None
    balance_currency: str | None = None
    balance_at: datetime | None = None
    balance_is_low: bool = False
