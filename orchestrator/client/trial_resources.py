"""The shapes of a trial: what other rules would do to the fleet."""

from typing import Annotated, Any

from pydantic import Field

from orchestrator.client import fields
from orchestrator.client.base import Part
from orchestrator.client.resources import Resource, Time, money

#: The most sessions of one state that one trial reads.
MOST_SESSIONS = 20_000


class TryPolicy(Part):
    """What is tried: values by their names in `orchestrator.toml`, and prices of a node-hour by model."""

    set: Annotated[
        dict[
            Annotated[str, Field(min_length=1, max_length=200)],
            int | float | Annotated[str, Field(max_length=200)] | list[int],
        ],
        Field(default_factory=dict, max_length=50),
    ]
    """`policy.KEY` (or KEY), `plans.PLAN.KEY`, `providers.NAME.KEY`: its value."""
    prices: Annotated[dict[fields.ModelIdentifier, fields.Money], Field(default_factory=dict, max_length=50)]
    account_id: fields.Identifier | None = None
    """Look only at this account's sessions."""
    most_sessions: Annotated[int, Field(ge=1, le=MOST_SESSIONS)] = MOST_SESSIONS
    """Look at this many sessions of each state at most, the newest, and at five events for each."""


class ValueChangeResource(Resource):
    """A value that changes; null if it is not there."""

    key: str
    old: Any
    new: Any


class TrafficResource(Resource):
    """Interactions in the `window_seconds` before. Events do not always say the exact number."""

    at_least: int
    at_most: int


class TrialFindingResource(Resource):
    """A session, and what the change does to it."""

    session_id: str
    name: str
    account_id: str
    model_id: str
    provider: str | None
    state: str
    effect: str
    """`stops` (earlier), `spares` (later, or not) or `refuses`."""
    applies: str
    """`deployed`: with the deploy; `hindsight`: if it had applied all along."""
    at: Time
    """When it ends under the change; null: it continues."""
    reason: str | None
    detail: str
    condition: str | None
    otherwise_at: Time
    otherwise_reason: str | None
    interactions: TrafficResource
    price_per_node_hour: str = money()
    currency: str


class TrialResource(Resource):
    """What the change would do. `findings` lists the first thousand; `counts` counts all."""

    at: str
    since: str
    """Sessions that ended before were not read."""
    changes: list[ValueChangeResource]
    sessions: int
    complete: bool
    """Whether every session and event was read."""
    events_since: str
    counts: dict[str, dict[str, int]]
    """`deployed` and `hindsight`, each by effect."""
    window_seconds: int
    findings: list[TrialFindingResource]
