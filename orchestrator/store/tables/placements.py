"""Placements: attempts to have sessions served, and orphans."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import CheckConstraint, Column, Index, text
from sqlmodel import Field

from orchestrator.rules.states import PlacementState, Step
from orchestrator.rules.values import Attach, ModelType, RefusedBy
from orchestrator.store.core.columns import AttachJson, enum, json_object, money, one_of
from orchestrator.store.core.conditions import IMPOSSIBLE_PLACEMENT, ONE_UNCLOSED, PLACEMENT_ENDED, UNTOLD
from orchestrator.store.tables.base import Row

_LIVE = text("next_step IS NOT NULL")
_ONE_SERVING = text("session_id IS NOT NULL AND state IN ('opening', 'open', 'unknown')")
_ONE_UNCLOSED = text(ONE_UNCLOSED)
_ONE_HANDLE = text(f"handle IS NOT NULL AND NOT {PLACEMENT_ENDED}")
_UNENDED = text(f"NOT ({PLACEMENT_ENDED})")
_FORCED = text("forced_at IS NOT NULL")
_LOST = text("lost_at IS NOT NULL")
_SUPPOSED = text("candidate IS NOT NULL")
_OVER = text("ended_at IS NOT NULL")
_OPENED = text("opened_at IS NOT NULL")
_UNTOLD = text(UNTOLD)
_MORE_THERE = text("possible_orphans")
_IMPOSSIBLE = text(IMPOSSIBLE_PLACEMENT)


class PlacementRow(Row, table=True):
    """The fields of `rules.values.Placement`, one to one."""

    __tablename__ = "placements"
    __table_args__ = (
        one_of("state", PlacementState),
        one_of("next_step", Step),
        one_of("model_type", ModelType),
        one_of("refused_by", RefusedBy),
        CheckConstraint("(next_step IS NULL) = (next_step_at IS NULL)", name="step_has_time"),
        CheckConstraint(
            "state NOT IN ('opening', 'unknown', 'closing') OR next_step IS NOT NULL", name="live_has_step"
        ),
        CheckConstraint("state <> 'closed' OR proof IS NOT NULL", name="closed_has_proof"),
        Index("ix_placements_due", "next_step", "next_step_at", postgresql_where=_LIVE, sqlite_where=_LIVE),
        Index(
            "ix_placements_due_at_provider",
            "provider",
            "next_step",
            "next_step_at",
            postgresql_where=_LIVE,
            sqlite_where=_LIVE,
        ),
        Index("uq_placements_session_n", "session_id", "n", unique=True),
        Index(
            "uq_placements_serving",
            "session_id",
            unique=True,
            postgresql_where=_ONE_SERVING,
            sqlite_where=_ONE_SERVING,
        ),
        Index(
            "uq_placements_exclusive",
            "provider",
            "credential",
            unique=True,
            postgresql_where=_ONE_UNCLOSED,
            sqlite_where=_ONE_UNCLOSED,
        ),
        Index(
            "uq_placements_secret",
            "provider",
            "fingerprint",
            unique=True,
            postgresql_where=_ONE_UNCLOSED,
            sqlite_where=_ONE_UNCLOSED,
        ),
        Index(
            "uq_placements_handle",
            "provider",
            "handle",
            unique=True,
            postgresql_where=_ONE_HANDLE,
            sqlite_where=_ONE_HANDLE,
        ),
        Index("ix_placements_unended", "account_id", postgresql_where=_UNENDED, sqlite_where=_UNENDED),
        Index(
            "ix_placements_at_provider",
            "provider",
            "credential",
            postgresql_where=_UNENDED,
            sqlite_where=_UNENDED,
        ),
        Index("ix_placements_by_handle", "handle", "provider"),
        Index("ix_placements_candidate", "candidate", postgresql_where=_SUPPOSED, sqlite_where=_SUPPOSED),
        Index("ix_placements_untold", "provider", "sent_at", postgresql_where=_UNTOLD, sqlite_where=_UNTOLD),
        Index("ix_placements_ended", "provider", "ended_at", postgresql_where=_OVER, sqlite_where=_OVER),
        Index(
            "ix_placements_opened", "provider", "opened_at", postgresql_where=_OPENED, sqlite_where=_OPENED
        ),
        Index("ix_placements_forced", "forced_at", postgresql_where=_FORCED, sqlite_where=_FORCED),
        Index("ix_placements_orphans", "sent_at", postgresql_where=_MORE_THERE, sqlite_where=_MORE_THERE),
        Index("ix_placements_lost", "provider", "lost_at", postgresql_where=_LOST, sqlite_where=_LOST),
        Index("ix_placements_impossible", "id", postgresql_where=_IMPOSSIBLE, sqlite_where=_IMPOSSIBLE),
    )

    id: str = Field(primary_key=True)
    session_id: str | None = Field(default=None, foreign_key="sessions.id")
    account_id: str | None = None
    n: int
    provider: str
    credential: str | None = None
    fingerprint: str | None = None
    exclusive: bool
    serialised: bool
    model_id: str
    provider_model_id: str
    model_type: ModelType = Field(sa_column=enum(ModelType))
    nodes: int
    price_per_node_hour: Decimal = Field(sa_column=money())
    currency: str
    state: PlacementState = Field(sa_column=enum(PlacementState))
    options: Mapping[str, Any] = Field(sa_column=json_object())
    attach: Attach | None = Field(default=None, sa_column=Column(AttachJson))
    duration_seconds: int
    handle: str | None = None
    candidate: str | None = None
    endpoint_url: str | None = None
    endpoint_model: str | None = None
    endpoint_auth: str | None = None
    secret_ref: str | None = None
    created_at: datetime
    sent_at: datetime | None = None
    freed_at: datetime | None = None
    opened_at: datetime | None = None
    declared_end_at: datetime | None = None
    closing_since: datetime | None = None
    lost_at: datetime | None = None
    unproven_since: datetime | None = None
    ended_at: datetime | None = None
    proof: str | None = None
    last_answer: str | None = None
    refused_by: RefusedBy | None = Field(default=None, sa_column=enum(RefusedBy, nullable=True))
    possible_orphans: bool
    orphans_at_most: int | None = None
    forced_at: datetime | None = None
    forced_by: str | None = None
    forced_why: str | None = None
    ping_variant: str | None = None
    asleep_since: datetime | None = None
    next_step: Step | None = Field(default=None, sa_column=enum(Step, nullable=True))
    next_step_at: datetime | None = None
    lease_token: str | None = None
    lease_until: datetime | None = None
    attempts: int
    revision: int
