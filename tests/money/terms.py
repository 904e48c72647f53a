"""Settings of the stage: plans, policy, models; and the terms of an account as the machine keeps them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from orchestrator.rules.values import Plan, Policy

PLANS: Mapping[str, Plan] = {
    "small": Plan(
        name="small",
        max_sessions=6,
        max_concurrent=2,
        max_nodes=2,
        max_duration_seconds=7200,
        min_funded_seconds=90,
        queue_timeout_seconds=1500,
    ),
    "odd": Plan(
        name="odd",
        max_sessions=5,
        max_concurrent=3,
        max_nodes=3,
        max_nodes_total=4,
        max_duration_seconds=5000,
        min_funded_seconds=100,
        billing_block_seconds=37,
        queue_timeout_seconds=900,
    ),
    "wide": Plan(
        name="wide",
        max_duration_seconds=20_000,
        min_funded_seconds=600,
        billing_block_seconds=900,
        overdraft_limit=Decimal("2.5"),
    ),
}
POLICY = Policy(
    ping_interval_seconds=600,
    ping_timeout_seconds=20,
    dead_after_failures=2,
    dead_after_seconds=10,
    start_timeout_seconds=400,
    open_timeout_seconds=60,
    resolve_after_seconds=80,
    close_timeout_seconds=60,
    close_retry_max_seconds=300,
    cleanup_debt_after_seconds=240,
    brake_max_seconds=600,
    unusable_after_seconds=500,
    idle_grace_seconds=45,
    warn_before_stop_seconds=(300, 60),
)
#: model → (providers, price per node and hour)
MODELS: Mapping[str, tuple[Sequence[str], str]] = {
    "llama": (["alpha"], "1.20"),
    "moral": (["morph"], "0.777777"),
    "roam": (["morph", "fleet"], "3.333333"),
    "fleet": (["fleet"], "12.5"),
    "gift": (["alpha"], "0.000007"),
}


@dataclass(frozen=True, kw_only=True)
class AccountLimits:
    """Limits of an account; None: unlimited."""

    plan: str
    sessions: int | None
    concurrent: int | None
    nodes: int | None
    nodes_total: int | None
    overdraft: Decimal
    funded_seconds: int
    block_seconds: int


def terms_of(plan_name: str, quota: Mapping[str, Any], overdraft: str | None) -> AccountLimits:
    """Return a plan with an account's own numbers over it; "plan" and what is absent are the plan's."""
    plan = PLANS[plan_name]

    def own(name: str) -> int | None:
        limit = quota.get(name, "plan")
        if limit == "plan":
            return getattr(plan, name)  # type: ignore[no-any-return]
        return None if limit == "unlimited" else limit

    return AccountLimits(
        plan=plan_name,
        sessions=own("max_sessions"),
        concurrent=own("max_concurrent"),
        nodes=own("max_nodes"),
        nodes_total=own("max_nodes_total"),
        overdraft=plan.overdraft_limit if overdraft in (None, "plan") else Decimal(overdraft),
        funded_seconds=plan.min_funded_seconds,
        block_seconds=plan.billing_block_seconds,
    )
