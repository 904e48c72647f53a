"""The input and the result of reconcile: a provider's list, our rows, and the differences."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from orchestrator.rules.states import PlacementState


class Action(StrEnum):
    """What to do about a difference."""

    ADOPT = "adopt"
    """A lost open left it: the resolve of that placement is due."""
    CLOSE = "close"
    """It is an orphan: it gets a row, and is closed until there is proof."""
    END = "end"
    """It is ours, and gone there: its session is over."""
    WAIT = "wait"
    """It is too early to decide."""
    REPORT = "report"
    """It is an orphan that cannot be closed by its id: an operator must act."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ListedResource:
    """One entry of a list."""

    handle: str
    name: str | None = None
    opened_at: datetime | None = None
    """The time of the open, by the platform's clock."""
    ends_at: datetime | None = None
    price_per_hour: Decimal | None = None
    foreign: bool = False
    ended: bool = False
    """Whether the list itself says that it no longer runs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class KnownPlacement:
    """The fields of a placement that reconcile needs."""

    id: str
    session_id: str | None
    state: PlacementState
    handle: str | None
    candidate: str | None = None
    sent_at: datetime | None = None
    opened_at: datetime | None = None
    """When its open was settled, by our clock."""
    ended_at: datetime | None = None
    alive_at: datetime | None = None
    """The last proof of life of its session."""
    leased: bool = False
    """Whether a call of ours is under way for it."""
    covered: bool = True
    """Whether it was opened with the very secret under which this list was asked for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReconcilePolicy:
    """When to act on a difference, and what the platform can do."""

    min_age: timedelta
    confirm_after: timedelta
    clock_skew: timedelta
    resolve_after: timedelta
    list_takes: timedelta
    """The longest that a list takes: a resource that is opened meanwhile may be in it."""
    names_create: bool
    installation: str | None
    """The id of our installation; None: it never opened anything."""
    closes_by_id: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class ReconcileInput:
    """One list under one key, with our rows of that provider. Times are ours, except `ListedResource.opened_at`."""

    asked_at: datetime
    listed: Sequence[ListedResource]
    ours: Sequence[KnownPlacement]
    """Every placement of the provider that has not ended, under whichever key."""
    ended: Sequence[KnownPlacement] = ()
    """Ended placements that have a listed handle or name."""
    unknown_since: Mapping[str, datetime] = field(default_factory=dict)
    """Handle → when it was first seen as unknown."""
    missing_since: Mapping[str, datetime] = field(default_factory=dict)
    """Handle → when it was first missed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """One difference, and the action that follows."""

    action: Action
    why: str
    handle: str
    placement_id: str | None = None
    session_id: str | None = None
    since: datetime
    """When it was seen first."""
    missing: bool = False
    certain: bool = False
    """Whether it was ours and has ended here: no error of a list could turn it into a healthy session."""
    resource: ListedResource | None = None
    expired: bool = False
    """Whether its own status says that it ended on schedule."""
