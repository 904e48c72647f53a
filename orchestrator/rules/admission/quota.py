"""Whether a session may start: the limits of the plan, of the account's own quota and of the provider's card."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from orchestrator.rules.refusals import ErrorCode, Refusal
from orchestrator.rules.text import numbered
from orchestrator.rules.values import Account, OnQuota, Plan

#: The limits that an account may have of its own, by their names in a plan.
QUOTAS = ("max_sessions", "max_concurrent", "max_nodes", "max_nodes_total")
#: What a session may wait for, if its caller chose to queue it. It never waits for its total or for nodes.
WORTH_WAITING = frozenset(
    {
        ErrorCode.QUOTA_CONCURRENT_EXCEEDED,
        ErrorCode.QUEUE_AHEAD,
        ErrorCode.INSUFFICIENT_BALANCE,
        ErrorCode.BUDGET_EXCEEDED,
        ErrorCode.BURN_RATE_EXCEEDED,
        ErrorCode.NO_CAPACITY,
    }
)


@dataclass(frozen=True, kw_only=True, slots=True)
class AccountTerms:
    """The limits of one account: its plan, overridden by the account's own numbers."""

    plan: Plan
    own: frozenset[str] = frozenset()
    """Names of the limits that are the account's own."""

    def origin(self, name: str) -> str:
        """Return where this limit was set, for messages."""
        return "the account's own quota" if name in self.own else f"plan {self.plan.name}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Usage:
    """What an account uses. Our own cleanup debt is in `debt` only."""

    total: int = 0
    """All sessions that are not deleted."""
    concurrent: int = 0
    """Starting, running or stopping."""
    nodes: int = 0
    """Nodes of the concurrent sessions, together."""
    queue_ahead: int = 0
    """Earlier queued sessions of the account, without those that wait for another provider."""
    debt: int = 0
    """Sessions with a close unproven for so long that it is the platform's debt, not the user's."""


def terms_of(plan: Plan, account: Account) -> AccountTerms:
    """Return the account's plan with its own limits."""
    own: dict[str, Any] = {name: account.quota[name] for name in QUOTAS if name in account.quota}
    if account.overdraft_limit is not None:
        own["overdraft_limit"] = account.overdraft_limit
    return AccountTerms(plan=replace(plan, **own) if own else plan, own=frozenset(own))


def counted_at_creation(plan: Plan, usage: Usage) -> dict[str, int]:
    """Return the limits at creation that the audit later compares with the quota. A close that is our debt now counts
    again once it is proven."""
    return {} if plan.max_sessions is None else {"max_sessions": plan.max_sessions + usage.debt}


def counted_at_admission(plan: Plan, at_creation: Mapping[str, int]) -> dict[str, int]:
    """Return the same for a session that is admitted, in addition to the limits at its creation."""
    created = {name: limit for name, limit in at_creation.items() if name == "max_sessions"}
    now = {name: getattr(plan, name) for name in QUOTAS if name != "max_sessions"}
    return created | {name: limit for name, limit in now.items() if limit is not None}


def is_queued(code: ErrorCode, on_quota: OnQuota) -> bool:
    """Return whether a new session that is refused is queued instead."""
    return on_quota is not OnQuota.REJECT and code in WORTH_WAITING


def keeps_waiting(code: ErrorCode) -> bool:
    """Return whether a queued session that is refused again keeps waiting: for nodes too, which may become free. Any
    other reason, such as a withdrawn model, ends its wait."""
    return code in WORTH_WAITING or code is ErrorCode.QUOTA_NODES_EXCEEDED


def nodes_allowed(plan: Plan, card_max_nodes: int | None) -> int | None:
    """Return the most nodes of one session that plan and card allow together; None if neither has a limit."""
    limits = (plan.max_nodes, plan.max_nodes_total, card_max_nodes)
    return min((limit for limit in limits if limit is not None), default=None)


def check_nodes(terms: AccountTerms, card_max_nodes: int | None, nodes: int) -> Refusal | None:
    """Refuse too many nodes before admission. They are never queued: waiting would not help."""
    limit = nodes_allowed(terms.plan, card_max_nodes)
    if limit is None or nodes <= limit:
        return None
    if limit == terms.plan.max_nodes:
        allowed = f"{terms.origin('max_nodes')} allows {limit} per session"
    elif limit == terms.plan.max_nodes_total:
        allowed = f"{terms.origin('max_nodes_total')} allows {limit} in total"
    else:
        allowed = f"the model's provider allows {limit} per session"
    message = f"{nodes} nodes asked for, {allowed}: ask for fewer."
    return Refusal(ErrorCode.QUOTA_NODES_EXCEEDED, message, limit=limit, used=nodes)


def check_nodes_total(terms: AccountTerms, usage: Usage, nodes: int) -> Refusal | None:
    """Refuse the nodes if they do not fit beside those in use."""
    limit = terms.plan.max_nodes_total
    if limit is None or usage.nodes + nodes <= limit:
        return None
    message = (
        f"{nodes} nodes asked for, {usage.nodes} are in use by sessions that start, run or stop, and"
        f" {terms.origin('max_nodes_total')} allows {limit} in total: close one, or ask for fewer."
    )
    return Refusal(ErrorCode.QUOTA_NODES_EXCEEDED, message, limit=limit, used=usage.nodes, nodes=nodes)


def check_total(terms: AccountTerms, usage: Usage) -> Refusal | None:
    """Refuse if the account has as many sessions as allowed; deleted ones do not count."""
    limit = terms.plan.max_sessions
    if limit is None or usage.total < limit:
        return None
    message = (
        f"The account has {numbered(usage.total, 'session')} and {terms.origin('max_sessions')} allows {limit}: "
        "delete one that has ended."
    )
    return Refusal(ErrorCode.QUOTA_TOTAL_EXCEEDED, message, limit=limit, used=usage.total)


def check_concurrent(terms: AccountTerms, usage: Usage) -> Refusal | None:
    """Refuse if no slot is free, or if the account's queue holds earlier sessions."""
    limit = terms.plan.max_concurrent
    if limit is not None and usage.concurrent >= limit:
        held = f"Starting, running or stopping: {numbered(usage.concurrent, 'session')} of the account,"
        origin = terms.origin("max_concurrent")
        return Refusal(
            ErrorCode.QUOTA_CONCURRENT_EXCEEDED,
            f"{held} and {origin} allows {limit} at once: close one, or queue this one.",
            limit=limit,
            used=usage.concurrent,
            queue_ahead=usage.queue_ahead,
        )
    if usage.queue_ahead > 0:
        ahead = f"sessions of the account that are queued before this one: {usage.queue_ahead}"
        return Refusal(ErrorCode.QUEUE_AHEAD, f"{ahead}; queue it as well.", queue_ahead=usage.queue_ahead)
    return None
