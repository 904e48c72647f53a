"""When a call to a provider is retried: opens, resolves and closes. Seconds."""

from orchestrator.rules.backoff import backoff
from orchestrator.rules.sessions.decide import JITTER
from orchestrator.rules.upstream.local_faults import LocalFault, wait_after
from orchestrator.rules.values import Policy

#: An open that was not sent, or throttled without a hint, is sent again after the first; doubles up to the longest.
FIRST_OPEN_RETRY, LONGEST_OPEN_RETRY = 2.0, 60.0
#: Asking again what became of an open, and trying a close again, wait for this, doubled for each attempt so far, up to
#: `close_retry_max_seconds`.
RESOLVE_RETRY, CLOSE_RETRY = 60.0, 1.0


def resolve_after(policy: Policy, card_seconds: float | None) -> float:
    """Return after how long the effect of an open must show. `card_seconds`: what the driver says, if it does."""
    return max(policy.resolve_after_seconds, card_seconds or 0)


def open_again_after(fault: LocalFault | None, attempts: int, retry_after: float, rest: float) -> float:
    """Return when to send an open again that was not carried out. `retry_after`: the platform's hint; `rest`: the time
    in which its key must not be used; 0 where there is none."""
    own = backoff(FIRST_OPEN_RETRY, attempts - 1, LONGEST_OPEN_RETRY)
    return max(retry_after, rest, wait_after(fault, own))


def resolve_again_after(fault: LocalFault | None, attempts: int, policy: Policy) -> float:
    """Return when to ask again what became of an open."""
    return wait_after(fault, backoff(RESOLVE_RETRY, attempts, policy.close_retry_max_seconds))


def resolve_answered_after(wait: float, policy: Policy) -> float:
    """Return the shorter wait for an open that the platform has answered, though not with its effect."""
    return min(wait, max(FIRST_OPEN_RETRY, policy.credential_rest_seconds))


def close_again_after(fault: LocalFault | None, attempts: int, policy: Policy, jitter: float) -> float:
    """Return when to close again. `jitter`: between -1 and 1; it spreads closes that failed together by a tenth."""
    spread = 1 + JITTER * jitter
    return wait_after(fault, backoff(CLOSE_RETRY, attempts, policy.close_retry_max_seconds) * spread)
