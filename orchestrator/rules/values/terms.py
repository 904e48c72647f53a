"""The terms under which sessions live: an operator's policy, and an account's plan."""

from dataclasses import dataclass
from decimal import Decimal

from orchestrator.rules.values.amounts import ZERO


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """`[policy]` of the configuration, overridden by a provider's own values."""

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
    brake_window_seconds: float = 60
    brake_min_sessions: int = 2
    unusable_after_seconds: float = 900
    throttled_after_seconds: float = 3600
    idle_grace_seconds: float = 30
    """How much later than its effect an idle stop is decided: reports of use may be late."""
    busy_warn_after_seconds: float = 300
    busy_dead_after_seconds: float = 1800
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
    """`[plans.NAME]` of the configuration. None means no limit."""

    name: str
    max_sessions: int | None = None
    max_concurrent: int | None = None
    max_nodes: int | None = None
    """The most nodes of one session."""
    max_nodes_total: int | None = None
    """The most nodes of all sessions that start, run or stop."""
    overdraft_limit: Decimal = ZERO
    """How far the balance may go below zero."""
    max_duration_seconds: int = 86400
    min_funded_seconds: int = 600
    billing_block_seconds: int = 60
    queue_timeout_seconds: int = 3600
    auto_delete_after_seconds: int | None = None
    """After how long a session that ended is deleted; 0: never; None: as `[retention]` says."""
