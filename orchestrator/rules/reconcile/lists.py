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
    """It is what a lost open left: that placement's resolve is due."""
    CLOSE = "close"
    """An orphan: it gets a row, and is closed until there is proof."""
    END = "end"
    """Ours, and gone there: its session is over."""
    WAIT = "wait"
    """Too early to decide."""
    REPORT = "report"
    """An orphan that cannot be closed by its id: an operator must act."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ListedResource:
    """One entry of a list."""

    handle: str
    name: str | None = None
    opened_at: datetime | None = None
    """On the platform's clock."""
    ends_at: datetime | None = None
    price_per_hour: Decimal | None = None
    foreign: bool = False
    ended: bool = False
    """The list itself says that it runs no more."""


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
    """On our clock: when its open was settled."""
    ended_at: datetime | None = None
    alive_at: datetime | None = None
    """The last proof of life of its session."""
    leased: bool = False
    """A call of ours is under way for it."""
    covered: bool = True
    """It was opened with the very secret under which this list was asked for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReconcilePolicy:
    """When to act on a difference, and what the platform can do."""

    min_age: timedelta
    confirm_after: timedelta
    clock_skew: timedelta
    resolve_after: timedelta
    list_takes: timedelta
    """At most: what is opened while a list is on its way may show in it."""
    names_create: bool
    installation: str | None
    """Ours; None: nothing there can bear its id."""
    closes_by_id: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class ReconcileInput:
    """One list under one key, with our rows of that provider. Times are ours, except `ListedResource.opened_at`."""

    asked_at: datetime
    listed: Sequence[ListedResource]
    ours: Sequence[KnownPlacement]
    """Every placement of the provider that has not ended, under whichever key."""
    ended: Sequence[KnownPlacement] = ()
    """Ended ones that have a listed handle or name."""
    strangers: Mapping[str, datetime] = field(default_factory=dict)
    """Handle → when it was first seen without being known."""
    missing: Mapping[str, datetime] = field(default_factory=dict)
    """Handle → when it was first missed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """One difference, and the action that follows."""

    kind: Action
    why: str
    handle: str
    placement_id: str | None = None
    session_id: str | None = None
    since: datetime
    """When it was seen first."""
    missing: bool = False
    certain: bool = False
    """It was ours and has ended here: no mistake of a list can make it a healthy session."""
    live: ListedResource | None = None
    expired: bool = False
    """Its own status says that it ended by its own schedule."""
