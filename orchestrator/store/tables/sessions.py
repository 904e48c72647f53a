"""Sessions: what users asked for."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, Column, Index, text
from sqlmodel import Field

from orchestrator.rules.states import State, Step, StopReason
from orchestrator.rules.values import Attach, OnQuota, Verdict
from orchestrator.store.core.columns import AttachJson, Instants, Limits, enum, json_object, money, one_of
from orchestrator.store.core.conditions import IMPOSSIBLE_SESSION, IN_DOUBT_AND_RUNS, IS_ACTIVE
from orchestrator.store.tables.base import Row

_LIVE = text("next_step IS NOT NULL")
_KEPT = text("deleted_at IS NULL")
_RUNS = text("state = 'running'")
_IN_DOUBT = text(IN_DOUBT_AND_RUNS)
_NOT_WELL = text("state = 'running' AND not_well_since IS NOT NULL")
_ENDED = text("ended_at IS NOT NULL")
_ENDED_AND_KEPT = text("ended_at IS NOT NULL AND deleted_at IS NULL")
_NEVER_BEGAN = text("deleted_at IS NOT NULL AND ended_at IS NULL")
_IMPOSSIBLE = text(IMPOSSIBLE_SESSION)
_ACTIVE = text(IS_ACTIVE)


class SessionRow(Row, table=True):
    """The fields of `rules.values.Session`, one to one."""

    __tablename__ = "sessions"
    __table_args__ = (
        one_of("state", State),
        one_of("next_step", Step),
        one_of("stop_reason", StopReason),
        one_of("stop_at_reason", StopReason),
        one_of("last_verdict", Verdict),
        one_of("on_quota", OnQuota),
        CheckConstraint("nodes >= 1", name="nodes_positive"),
        CheckConstraint("(next_step IS NULL) = (next_step_at IS NULL)", name="step_has_time"),
        CheckConstraint("(state = 'running') = (running_since IS NOT NULL)", name="running_is_metered"),
        CheckConstraint(
            "state NOT IN ('queued', 'starting', 'running') OR next_step IS NOT NULL", name="live_has_step"
        ),
        CheckConstraint("state <> 'running' OR stop_at IS NOT NULL", name="running_has_deadline"),
        # None names next_step_at, or anything else that a good ping changes: see `next_steps`.
        Index(
            "uq_sessions_account_name",
            "account_id",
            "name",
            unique=True,
            postgresql_where=_KEPT,
            sqlite_where=_KEPT,
        ),
        Index(
            "ix_sessions_account_state_created",
            "account_id",
            "state",
            "created_at",
            postgresql_where=_KEPT,
            sqlite_where=_KEPT,
        ),
        Index(  # whatever the order of letters is, by the letters themselves: for beginnings of names
            "ix_sessions_name",
            "name",
            postgresql_ops={"name": "text_pattern_ops"},
            postgresql_where=_KEPT,
            sqlite_where=_KEPT,
        ),
        Index("ix_sessions_state_created", "state", "created_at", postgresql_where=_KEPT, sqlite_where=_KEPT),
        Index("ix_sessions_stop_at", "stop_at", postgresql_where=_LIVE, sqlite_where=_LIVE),
        Index("ix_sessions_running", "provider", "credential", postgresql_where=_RUNS, sqlite_where=_RUNS),
        Index(
            "ix_sessions_in_doubt",
            "provider",
            "credential",
            postgresql_where=_IN_DOUBT,
            sqlite_where=_IN_DOUBT,
        ),
        Index("ix_sessions_not_well", "not_well_since", postgresql_where=_NOT_WELL, sqlite_where=_NOT_WELL),
        Index("ix_sessions_ended", "ended_at", postgresql_where=_ENDED, sqlite_where=_ENDED),
        Index(
            "ix_sessions_never_began", "deleted_at", postgresql_where=_NEVER_BEGAN, sqlite_where=_NEVER_BEGAN
        ),
        Index(
            "ix_sessions_account_ended",
            "account_id",
            "ended_at",
            postgresql_where=_ENDED_AND_KEPT,
            sqlite_where=_ENDED_AND_KEPT,
        ),
        Index("ix_sessions_impossible", "id", postgresql_where=_IMPOSSIBLE, sqlite_where=_IMPOSSIBLE),
        Index(
            "ix_sessions_account_active", "account_id", "id", postgresql_where=_ACTIVE, sqlite_where=_ACTIVE
        ),
        Index(
            "ix_sessions_account_stops",
            "account_id",
            "stop_at",
            postgresql_where=_ACTIVE,
            sqlite_where=_ACTIVE,
        ),
    )

    id: str = Field(primary_key=True)
    account_id: str = Field(foreign_key="accounts.id")
    model_id: str = Field(foreign_key="models.id")
    name: str
    description: str
    nodes: int
    state: State = Field(sa_column=enum(State))

    max_duration_seconds: int | None = None
    max_interactions: int | None = None
    idle_seconds: int | None = None
    max_cost: Decimal | None = Field(default=None, sa_column=money(nullable=True))
    failover: bool
    on_quota: OnQuota = Field(sa_column=enum(OnQuota))
    provider_options: Mapping[str, Any] = Field(sa_column=json_object())
    pinned_provider: str | None = None
    pinned_credential: str | None = None
    attach: Attach | None = Field(default=None, sa_column=Column(AttachJson))
    metadata_: Mapping[str, Any] = Field(sa_column=Column("metadata", json_object().type, nullable=False))
    request_digest: str
    admitted_under: Mapping[str, int] = Field(sa_column=Column(Limits(), nullable=True))

    model_max_duration_seconds: int | None = None
    model_max_interactions: int | None = None
    plan_max_duration_seconds: int
    price_per_node_hour: Decimal = Field(sa_column=money())
    currency: str
    block_seconds: int

    created_at: datetime
    queued_at: datetime | None = None
    queue_deadline_at: datetime | None = None
    queue_reason: str | None = None
    starting_at: datetime | None = None
    running_at: datetime | None = None
    running_since: datetime | None = None
    ran_microseconds: int = Field(sa_column=Column(BigInteger, nullable=False))
    interactions: int = Field(sa_column=Column(BigInteger, nullable=False))
    last_interaction_at: datetime | None = None
    under_way: tuple[datetime, ...] = Field(default=(), sa_column=Column(Instants(), nullable=True))
    limit_reached_at: datetime | None = None
    charged: Decimal = Field(sa_column=money())
    charges: int
    placements: int
    provider: str | None = None
    credential: str | None = None
    declared_end_at: datetime | None = None

    stop_at: datetime | None = None
    idle_ends_at: datetime | None = None
    stop_at_reason: StopReason | None = Field(default=None, sa_column=enum(StopReason, nullable=True))
    warn_at: datetime | None = None
    warned_seconds: int | None = None
    stop_reason: StopReason | None = Field(default=None, sa_column=enum(StopReason, nullable=True))
    stop_detail: str | None = None
    stopped_at: datetime | None = None
    ended_at: datetime | None = None
    deleted_at: datetime | None = None

    ping_at: datetime | None = None
    last_ping_at: datetime | None = None
    last_verdict: Verdict | None = Field(default=None, sa_column=enum(Verdict, nullable=True))
    last_latency_ms: int | None = None
    last_ping_detail: str | None = None
    last_alive_at: datetime | None = None
    failures: int
    failing_since: datetime | None = None
    gone_since: datetime | None = None
    expired_at: datetime | None = None
    loading_since: datetime | None = None
    unusable_since: datetime | None = None
    busy_since: datetime | None = None
    busy_warned_at: datetime | None = None
    not_well_since: datetime | None = None
    held_since: datetime | None = None

    next_step: Step | None = Field(default=None, sa_column=enum(Step, nullable=True))
    next_step_at: datetime | None = None
    lease_token: str | None = None
    leased_at: datetime | None = None
    lease_until: datetime | None = None
    attempts: int
    revision: int
