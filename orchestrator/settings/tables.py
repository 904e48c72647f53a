"""The tables of `orchestrator.toml`: their keys, types and bounds. Pydantic checks them and locates each fault."""

import re
from collections.abc import Callable
from dataclasses import fields
from decimal import Decimal
from typing import Annotated, Any, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    create_model,
)

from orchestrator.rules.audit.invariants import Thresholds
from orchestrator.rules.billing.money import parse_amount
from orchestrator.rules.values import Plan, Policy
from orchestrator.settings import urls
from orchestrator.validation.wording import checked_by, where, wrong

#: The kind of faults that follow from something else: the value itself is sound.
OF_CONTEXT = "context"

#: More of anything than one installation has.
_LARGEST = 1_000_000_000
#: What a key's ending says about its unit, and the most of it: ten years.
_UNITS = {"_seconds": ("seconds", 315_360_000), "_days": ("days", 3_650)}
#: Seconds: nothing sensible is shorter, and a zero would be a busy loop.
_SHORTEST = 0.001
#: Policy keys for which zero is an answer ("at once"); all others count or last something.
_MAY_BE_ZERO = re.compile(
    "(dead_after|resolve_after|cleanup_debt_after|brake_max|unusable_after|idle_grace|credential_rest|"
    "reconcile_min_age|reconcile_confirm|reconcile_clock_skew)_seconds|reconcile_max_share"
)
#: Keys of plans that may not be zero.
_FROM_ONE = frozenset({"max_duration_seconds", "billing_block_seconds", "queue_timeout_seconds"})


class Table(BaseModel):
    """Types as TOML gives them ("5" is no number, true is none either); unknown keys are faults."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    def given(self) -> dict[str, Any]:
        """Return the keys that the file holds."""
        return {key: value for key, value in self if key in self.model_fields_set}


def within(key: str, least: float, most: float | None = None) -> WrapValidator:
    """Keep a number as it is written, if it is not below `least` nor above `most`: by default what its key's unit
    allows."""
    unit, longest = next((of for end, of in _UNITS.items() if key.endswith(end)), ("", _LARGEST))
    most = longest if most is None else most

    def check(value: Any, validate: ValidatorFunctionWrapHandler) -> Any:
        validate(value)
        if not least <= value <= most:
            raise wrong(f"must be between {least:g} and {most} {unit}".rstrip())
        return value

    return WrapValidator(check)


def _amount(value: object) -> Decimal:
    """Return money, zero or more, from a text: TOML's fractions are not exact."""
    amount = parse_amount(value) if isinstance(value, str) else None
    if amount is None or amount < 0:
        raise wrong('must be money: a decimal text such as "12.50", with at most 6 decimal places')
    return amount


Text: TypeAlias = Annotated[str, where(str.strip, "must be a text that is not empty")]
Url: TypeAlias = Annotated[Text, checked_by(urls.base_url)]
_Warnings: TypeAlias = Annotated[
    list[Annotated[int, within("_seconds", 1)]],
    AfterValidator(lambda seconds: tuple(sorted(set(seconds), reverse=True))),
    Field(examples=["[900, 300]"]),
]


def _policy_type(key: str, kind: Any) -> Any:
    if kind not in (int, float):
        return _Warnings
    least = 1 if kind is int else 0 if _MAY_BE_ZERO.fullmatch(key) else _SHORTEST
    return Annotated[kind, within(key, least, 1 if key.endswith("_share") else None)]


def _plan_type(key: str, kind: Any) -> Any:
    if kind is Decimal:
        return Annotated[Decimal, BeforeValidator(_amount)]
    return Annotated[int, within(key, 1 if key in _FROM_ONE else 0)]


def _keys_of(values: Any, type_of: Callable[[str, Any], Any]) -> dict[str, Any]:
    """Return the keys that override the fields of a frozen value, each with its type. Keys that are left out are None
    and override nothing."""
    named = [field for field in fields(values) if field.name != "name"]
    return {field.name: (type_of(field.name, field.type), None) for field in named}


POLICY_KEYS = _keys_of(Policy, _policy_type)
PolicyTable: type[Table] = create_model("PolicyTable", __base__=Table, **POLICY_KEYS)
PlanTable: type[Table] = create_model("PlanTable", __base__=Table, **_keys_of(Plan, _plan_type))
_AUDIT_KEYS = _keys_of(Thresholds, lambda key, _kind: Annotated[float, within(key, 1)])
AuditTable: type[Table] = create_model("AuditTable", __base__=Table, **_AUDIT_KEYS)
