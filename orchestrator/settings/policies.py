"""Read `[policy]` and `[plans.NAME]`: single keys that override the defaults."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, fields, replace
from types import MappingProxyType
from typing import Any, TypeAlias

from orchestrator.rules.admission.quota import QUOTAS
from orchestrator.rules.values import Plan, Policy
from orchestrator.settings.configuration import BUILT_IN_PLANS
from orchestrator.settings.tables import Table

_Read: TypeAlias = Callable[[Table, str, Any], Any]

#: Policy keys for which zero is an answer ("at once"); all others count or last something.
_MAY_BE_ZERO = frozenset(
    {
        "dead_after_seconds",
        "resolve_after_seconds",
        "cleanup_debt_after_seconds",
        "brake_max_seconds",
        "unusable_after_seconds",
        "idle_grace_seconds",
        "credential_rest_seconds",
        "reconcile_min_age_seconds",
        "reconcile_confirm_seconds",
        "reconcile_clock_skew_seconds",
        "reconcile_max_share",
    }
)

#: Policy keys that are shares of one.
_SHARES = frozenset({"reconcile_max_share"})

#: What a policy's keys hold, as their dataclass says.
POLICY_TYPES: Mapping[str, Any] = MappingProxyType({field.name: field.type for field in fields(Policy)})

#: Seconds: nothing sensible is shorter, and a zero would be a busy loop.
_SHORTEST = 0.001


def read_policy(table: Table, base: Policy) -> Policy:
    """Override `base` by the table's policy keys; leave other keys to the table's owner."""
    given = {name: _policy_reader(name)(table, name, value) for name, value in asdict(base).items()}
    given["warn_before_stop_seconds"] = tuple(sorted(set(given["warn_before_stop_seconds"]), reverse=True))
    return replace(base, **given)


def read_plans(table: Table) -> Mapping[str, Plan]:
    """Return the built-in plans, changed and extended by those of the file."""
    plans = dict(BUILT_IN_PLANS)
    for name, below in table.tables():
        if not name.strip():
            table.fault('""', "must have a name: accounts are put on a plan by it")
        plans[name] = _read_plan(below, plans.get(name, Plan(name=name)))
    return MappingProxyType(plans)


def _policy_reader(name: str) -> _Read:
    if name == "warn_before_stop_seconds":
        return Table.wholes
    if POLICY_TYPES[name] is int:
        return lambda table, key, default: table.whole(key, default, least=1)
    least = 0 if name in _MAY_BE_ZERO else _SHORTEST
    most = 1 if name in _SHARES else None
    return lambda table, key, default: table.number(key, default, least=least, most=most)


def _read_plan(table: Table, base: Plan) -> Plan:
    spans = {
        "max_duration_seconds": 1,
        "min_funded_seconds": 0,
        "billing_block_seconds": 1,
        "queue_timeout_seconds": 1,
    }
    given: dict[str, Any] = {
        key: table.whole(key, getattr(base, key), least=0) for key in QUOTAS if key in table.values
    }
    given["overdraft_limit"] = table.money("overdraft_limit", base.overdraft_limit)
    given |= {key: table.whole(key, getattr(base, key), least=least) for key, least in spans.items()}
    given["auto_delete_after_seconds"] = table.whole(
        "auto_delete_after_seconds", base.auto_delete_after_seconds, least=0
    )
    table.taken |= set(QUOTAS)
    table.refuse_rest()
    return replace(base, **given)
