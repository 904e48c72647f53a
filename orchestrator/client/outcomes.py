"""The two shapes of a job's outcome, as other services read them, and their values as JSON."""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Any

from pydantic import BaseModel

from orchestrator.rules.refusals import Refusal
from orchestrator.rules.values.amounts import money_text

#: Most values of an outcome: only others are asked what they are.
_AS_THEY_ARE = frozenset({str, int, bool, float, type(None)})


def succeeded(result: Mapping[str, Any]) -> dict[str, Any]:
    return {"ok": True, "result": plain(result)}


def refused(refusal: Refusal) -> dict[str, Any]:
    error = {"code": refusal.code, "message": refusal.message, "details": refusal.details}
    return {"ok": False, "error": plain(error)}


def plain(value: Any) -> Any:
    """Return the value in JSON's types: times in RFC 3339 and UTC, money as a decimal text, requests as objects without
    the fields that were left out."""
    if type(value) in _AS_THEY_ARE:
        return value
    match value:
        case BaseModel():
            return value.model_dump(mode="json", exclude_unset=True)
        case Enum():
            return plain(value.value)
        case Decimal():
            return money_text(value) if value.is_finite() else str(value)
        case datetime():
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case Mapping():
            return {str(plain(key)): plain(below) for key, below in value.items()}
        case list() | tuple() | set() | frozenset():
            return [plain(item) for item in value]
        case _:
            return value
