"""May this session start: what the plan and the provider's card allow, in numbers."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from orchestrator.rules.refusals import ErrorCode, Refusal
from orchestrator.rules.values import Plan, Policy


@dataclass(frozen=True, slots=True)
class Usage:
    """What an account holds, without the session in question and without our own cleanup debt."""

    total: int
    """Everything not deleted."""
    concurrent: int
    """Starting, running or stopping."""
    queue_ahead: int
    """Queued sessions of the account that came before."""


def nodes_allowed(plan: Plan, card_max_nodes: int | None) -> int | None:
    """The most nodes that plan and card allow together; None where neither binds."""
    return min((limit for limit in (plan.max_nodes, card_max_nodes) if limit is not None), default=None)


def check_nodes(plan: Plan, card_max_nodes: int | None, nodes: int) -> Refusal | None:
    """Too many nodes are refused before admission, and never queued: waiting would not help."""
    limit = nodes_allowed(plan, card_max_nodes)
    if limit is None or nodes <= limit:
        return None
    whose = f"plan {plan.name}" if limit == plan.max_nodes else "the model's provider"
    message = f"{nodes} nodes asked for, {whose} allows {limit} per session: ask for fewer."
    return Refusal(ErrorCode.QUOTA_NODES_EXCEEDED, message, limit=limit, used=nodes)


def check_total(plan: Plan, usage: Usage) -> Refusal | None:
    """Whether there is a place for one session more, of all that are not deleted."""
    if plan.max_sessions is None or usage.total < plan.max_sessions:
        return None
    message = (
        f"The account has {usage.total} sessions and plan {plan.name} allows {plan.max_sessions}: "
        "delete one that has ended."
    )
    return Refusal(ErrorCode.QUOTA_TOTAL_EXCEEDED, message, limit=plan.max_sessions, used=usage.total)


def check_concurrent(plan: Plan, usage: Usage, *, newcomer: bool) -> Refusal | None:
    """Whether there is a free slot; a newcomer does not overtake the queue of its account."""
    limit = plan.max_concurrent
    if limit is not None and usage.concurrent >= limit:
        held = f"{usage.concurrent} sessions of the account are starting, running or stopping"
        message = f"{held} and plan {plan.name} allows {limit} at once: close one, or queue this one."
    elif newcomer and usage.queue_ahead > 0:
        message = f"{usage.queue_ahead} sessions of the account are queued before this one: queue it as well."
    else:
        return None
    return Refusal(
        ErrorCode.QUOTA_CONCURRENT_EXCEEDED,
        message,
        limit=limit,
        used=usage.concurrent,
        queue_ahead=usage.queue_ahead,
    )


def in_cleanup_debt(unproven_since: datetime | None, now: datetime, policy: Policy) -> bool:
    """Whether a close has been unproven for so long that it is our debt and leaves the user's counts."""
    if unproven_since is None:
        return False
    return now - unproven_since > timedelta(seconds=policy.cleanup_debt_after_seconds)
