"""Snapshots for tables: every field that a test does not name has a plain value."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from orchestrator.rules.states import PlacementState, State
from orchestrator.rules.values import ZERO, Model, ModelType, Placement, Plan, Policy, Session

T0 = datetime(2025, 9, 15, 12, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
TICK = timedelta(microseconds=1)
POLICY = Policy()
PAYG = Plan(name="payg", max_sessions=20, max_concurrent=2, max_nodes=2)
CONTRACT = Plan(name="contract")


def a_session(**changes: Any) -> Session:
    """Return a created session; it costs one unit per node and minute, in blocks of a minute."""
    plain = Session(
        id="5f0c0001-0000-4000-8000-000000000001",
        account_id="acme",
        model_id="llama",
        name="one",
        state=State.CREATED,
        price_per_node_hour=Decimal(60),
        currency="USD",
        created_at=T0,
    )
    return replace(plain, **changes)


def a_starting_session(**changes: Any) -> Session:
    """Return a session that has been starting since T0."""
    return a_session(**{"state": State.STARTING, "starting_at": T0} | changes)


def a_running_session(**changes: Any) -> Session:
    """Return a session that has been running since T0, for the first time."""
    running = {"state": State.RUNNING, "starting_at": T0, "running_at": T0, "running_since": T0}
    return a_session(**running | changes)


def a_placement(**changes: Any) -> Placement:
    """Return the first placement of a session, which serves since it was made."""
    plain: dict[str, Any] = {
        "id": "p-1",
        "session_id": "s-1",
        "account_id": "acme",
        "n": 1,
        "provider": "a",
        "credential": "env:A",
        "model_id": "llama",
        "provider_model_id": "llama",
        "model_type": ModelType.LLM,
        "price_per_node_hour": ZERO,
        "currency": "USD",
        "state": PlacementState.OPEN,
        "duration_seconds": 3600,
        "created_at": T0,
    }
    return Placement(**plain | changes)


def a_model(**changes: Any) -> Model:
    """Return a model of the catalog, open to all accounts."""
    plain = Model(
        id="llama",
        providers=("alpha",),
        provider_model_ids={"alpha": "llama-3"},
        type=ModelType.LLM,
        size="8B",
        learning_stage="Instruction-tuned",
        price_per_node_hour=Decimal("1.20"),
        currency="USD",
    )
    return replace(plain, **changes)
