"""What lists of sessions can be sorted by."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from orchestrator.rules.states import State


class SortOrder(StrEnum):
    """What a list is sorted by."""

    CREATED = "created"
    STOPS = "stops"
    COST = "cost"
    PING = "ping"
    STATE = "state"
    ACCOUNT = "account"
    MODEL = "model"
    PROVIDER = "provider"
    NAME = "name"


def _last(value: Any) -> tuple[bool, Any]:
    """Sort what has no value last."""
    return value is None, value or ""


#: How sessions as JSON are sorted: the newest, the soonest stop, the highest cost, the oldest ping first.
KEYS: Mapping[SortOrder, Callable[[dict[str, Any]], Any]] = {
    SortOrder.CREATED: lambda one: (
        datetime.max.replace(tzinfo=UTC) - datetime.fromisoformat(one["created_at"])
    ),
    SortOrder.STOPS: lambda one: (one["stop_reason"] is not None, *_last(one["stop_at"])),
    SortOrder.COST: lambda one: -Decimal(one["cost"]),
    SortOrder.PING: lambda one: _last(one["last_ping"] and one["last_ping"]["at"]),
    SortOrder.STATE: lambda one: list(State).index(State(one["state"])),
    SortOrder.ACCOUNT: lambda one: one["account_id"],
    SortOrder.MODEL: lambda one: _last(one["model_id"]),
    SortOrder.PROVIDER: lambda one: _last(one["provider"]),
    SortOrder.NAME: lambda one: one["name"],
}
