"""What of a session the rules of its use depend on: batches of interactions are about hundreds of sessions."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TypeAlias, TypeVar

from orchestrator.rules.states import State, StopReason
from orchestrator.rules.values.leases import Due
from orchestrator.rules.values.sessions import Session, idle_or_stop


@dataclass(frozen=True, kw_only=True, slots=True)
class UsedSession:
    """The fields of a session that reported interactions change, and those that its stop, its warning and its next step
    depend on. Each means what it means in `Session`."""

    id: str
    account_id: str
    provider: str | None
    state: State
    deleted_at: datetime | None
    revision: int

    # its terms
    max_duration_seconds: int | None
    max_interactions: int | None
    idle_seconds: int | None
    max_cost: Decimal | None
    model_max_duration_seconds: int | None
    model_max_interactions: int | None
    plan_max_duration_seconds: int
    price_per_node_hour: Decimal
    nodes: int
    currency: str
    block_seconds: int

    # its life so far
    created_at: datetime
    queue_deadline_at: datetime | None
    starting_at: datetime | None
    running_at: datetime | None
    running_since: datetime | None
    ran_microseconds: int
    declared_end_at: datetime | None

    # its use
    interactions: int
    last_interaction_at: datetime | None
    under_way: tuple[datetime, ...]
    limit_reached_at: datetime | None

    # its stop, its warning and its next step
    stop_at: datetime | None
    idle_ends_at: datetime | None
    stop_at_reason: StopReason | None
    warn_at: datetime | None
    warned_seconds: int | None
    ping_at: datetime | None
    due: Due | None

    # its doubts
    last_alive_at: datetime | None
    failures: int
    failing_since: datetime | None
    gone_since: datetime | None
    loading_since: datetime | None
    unusable_since: datetime | None
    busy_since: datetime | None
    busy_warned_at: datetime | None
    not_well_since: datetime | None
    held_since: datetime | None

    @property
    def ends_at(self) -> datetime | None:
        """When the coming stop takes effect."""
        return idle_or_stop(self.stop_at_reason, self.idle_ends_at, self.stop_at)

    @property
    def ever_ran(self) -> bool:
        return self.running_at is not None


#: A session, or the fields of it that its use depends on.
Usable: TypeAlias = Session | UsedSession
#: Either, where a rule returns what it was given.
AnySession = TypeVar("AnySession", Session, UsedSession)
