"""The states of sessions and placements, with one table of transitions for each.

Every change of state passes through `checked`; the store calls it in the one method that saves."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class State(StrEnum):
    """The state of a session."""

    CREATED = "created"
    QUEUED = "queued"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"


class PlacementState(StrEnum):
    """The state of one attempt to be served; `UNKNOWN` is a state, not an error."""

    OPENING = "opening"
    OPEN = "open"
    UNKNOWN = "unknown"
    CLOSING = "closing"
    CLOSED = "closed"
    NEVER_OPENED = "never_opened"


class StopReason(StrEnum):
    """Why a session stopped: a closed set. The first reason that took effect is kept."""

    USER = "user"
    OPERATOR = "operator"
    MAX_DURATION = "max_duration"
    MAX_INTERACTIONS = "max_interactions"
    IDLE = "idle"
    MAX_COST = "max_cost"
    MODEL_LIMIT = "model_limit"
    BUDGET_EXHAUSTED = "budget_exhausted"
    BALANCE_EXHAUSTED = "balance_exhausted"
    DEAD = "dead"
    PROVIDER_ENDED = "provider_ended"
    START_FAILED = "start_failed"
    START_TIMEOUT = "start_timeout"
    QUEUE_TIMEOUT = "queue_timeout"


class Step(StrEnum):
    """The next step of a live row. Sessions: admit, ping, warn, stop. Placements: open, resolve, close. Accounts: funds
    (their end, or a warning of it), charge (the hourly posting)."""

    ADMIT = "admit"
    PING = "ping"
    WARN = "warn"
    STOP = "stop"
    OPEN = "open"
    RESOLVE = "resolve"
    CLOSE = "close"
    FUNDS = "funds"
    CHARGE = "charge"


SESSION_TRANSITIONS: Mapping[State, frozenset[State]] = MappingProxyType(
    {
        State.CREATED: frozenset({State.QUEUED, State.STARTING, State.STOPPED}),
        State.QUEUED: frozenset({State.STARTING, State.STOPPED, State.FAILED}),
        State.STARTING: frozenset({State.RUNNING, State.STOPPING, State.STOPPED, State.FAILED}),
        State.RUNNING: frozenset({State.STARTING, State.STOPPING}),  # to starting: failover
        State.STOPPING: frozenset({State.STOPPED, State.FAILED}),
        State.STOPPED: frozenset(),
        State.FAILED: frozenset(),
    }
)

PLACEMENT_TRANSITIONS: Mapping[PlacementState, frozenset[PlacementState]] = MappingProxyType(
    {
        PlacementState.OPENING: frozenset(
            {
                PlacementState.OPEN,
                PlacementState.UNKNOWN,
                PlacementState.CLOSED,  # a resolve found it, and ended it
                PlacementState.NEVER_OPENED,
            }
        ),
        PlacementState.UNKNOWN: frozenset(
            {
                PlacementState.OPEN,
                PlacementState.CLOSING,
                PlacementState.CLOSED,
                PlacementState.NEVER_OPENED,
            }
        ),
        PlacementState.OPEN: frozenset({PlacementState.CLOSING}),
        PlacementState.CLOSING: frozenset({PlacementState.CLOSED}),
        PlacementState.CLOSED: frozenset(),
        PlacementState.NEVER_OPENED: frozenset(),
    }
)

#: A session in one of these has ended for good.
TERMINAL = frozenset({State.STOPPED, State.FAILED})
#: A session in one of these is served, or will be soon: it costs money, or may do so at any moment.
ACTIVE = frozenset({State.STARTING, State.RUNNING})
#: A session in one of these holds one of its account's concurrent slots.
CONCURRENT = frozenset({State.STARTING, State.RUNNING, State.STOPPING})
#: A session in one of these waits for something, and is read singly. The others are at rest, and only counted.
LIVE = CONCURRENT | {State.QUEUED}
#: A placement in one of these may still cost money.
UNENDED = frozenset(set(PlacementState) - {PlacementState.CLOSED, PlacementState.NEVER_OPENED})
#: A session has at most one placement in one of these.
SERVING = frozenset({PlacementState.OPENING, PlacementState.OPEN, PlacementState.UNKNOWN})
#: Stops before the first RUNNING that end a session as failed instead of stopped.
FAILURES = frozenset({StopReason.START_FAILED, StopReason.START_TIMEOUT, StopReason.QUEUE_TIMEOUT})


class IllegalTransition(Exception):
    """A change that is not in the table: a defect of ours, never a user's mistake."""


def checked(current: State, to: State) -> State:
    """Return `to` where the table allows it from `current`; raise IllegalTransition where it does not."""
    if to not in SESSION_TRANSITIONS[current]:
        raise IllegalTransition(f"a {current} session cannot become {to}")
    return to


def checked_placement(current: PlacementState, to: PlacementState) -> PlacementState:
    """Return the same for placements."""
    if to not in PLACEMENT_TRANSITIONS[current]:
        raise IllegalTransition(f"a placement that is {current} cannot become {to}")
    return to


def end_state(reason: StopReason, *, ever_ran: bool) -> State:
    """Return the end state for `reason`: a session that ever ran does not end as failed."""
    return State.FAILED if reason in FAILURES and not ever_ran else State.STOPPED
