"""The longest waits: how far ahead a row's next step may be planned."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from orchestrator.rules.sessions.decide import RETRY_AFTER_INTERVALS
from orchestrator.rules.sessions.pings import JITTER
from orchestrator.rules.states import Step
from orchestrator.rules.upstream.brake import SLOWDOWN
from orchestrator.rules.upstream.placements import RESOLVE_RETRY
from orchestrator.rules.values import Policy


@dataclass(frozen=True, slots=True)
class WaitLimits:
    """The longest waits at one provider, for each step that does not wait for an instant of its own row."""

    policy: Policy
    waits: Mapping[Step, timedelta]


def wait_limits(policy: Policy, leases: Mapping[Step, float], resolve_after_seconds: float) -> WaitLimits:
    """Return the limits. `leases`: the lease of each step, in seconds. A claimed open is a resolve from then on."""
    interval, retry = policy.ping_interval_seconds, policy.close_retry_max_seconds
    retry_after = RETRY_AFTER_INTERVALS * interval
    waits = {
        Step.PING: max(retry_after, SLOWDOWN * interval),
        Step.RESOLVE: max(resolve_after_seconds, retry_after, retry, RESOLVE_RETRY),
        Step.CLOSE: retry * (1 + JITTER),
    }
    return WaitLimits(policy, {step: timedelta(seconds=waits[step] + leases[step]) for step in waits})


def longest_unwell(policy: Policy) -> timedelta:
    """Return the longest time without a proof of life after which a session may still run: the longest that a verdict
    allows, a hold, and the pings in between."""
    allowed = max(
        policy.unusable_after_seconds,
        policy.throttled_after_seconds,
        policy.busy_dead_after_seconds,
        policy.start_timeout_seconds + policy.dead_after_seconds,
    )
    waits = (RETRY_AFTER_INTERVALS + policy.dead_after_failures) * policy.ping_interval_seconds
    return timedelta(seconds=allowed + policy.brake_max_seconds + waits)
